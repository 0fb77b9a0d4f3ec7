-- covers: TiDB: full-text
-- verdict: equal
-- tidb: refused: TiDB has no full-text index
create table t (id int primary key, v text, fulltext key words (v));
-- rows
insert into t values (1, 'some words'), (2, 'other words');
-- while copying
update t set v = 'new words' where id = 1; insert into t values (3, '');
