-- covers: Types: NULL vs '' vs 'NULL'
-- verdict: equal
create table t (id int primary key, a varchar(10), b varchar(10) not null default 'd', c int);
-- rows
insert into t values (1, null, 'NULL', null), (2, '', '', 0), (3, 'NULL', 'null', 1);
-- while copying
update t set a = '' where id = 1; update t set a = null where id = 2; update t set a = '\\N' where id = 3; insert into t (id) values (4);
-- while copying
update t set a = 'NULL' where id = 2; update t set c = null, b = '' where id = 3;
