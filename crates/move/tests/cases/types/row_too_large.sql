-- covers: TiDB: entry limits
-- verdict: equal
-- tidb: refused: larger than
create table t (id int primary key, b longblob);
-- rows
insert into t values (1, 'x'), (2, repeat('y', 7000000)), (3, 'z');
-- while copying
update t set b = 'w' where id = 1;
