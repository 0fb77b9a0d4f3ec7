-- covers: Schema: invisible columns
-- verdict: equal
create table t (id int primary key, a int invisible default 5, b int);
-- on tidb
create table t (id int primary key, a int default 5, b int);
-- rows
insert into t (id, b) values (1, 1); insert into t (id, a, b) values (2, 7, 2);
-- while copying
update t set a = 9 where id = 1; insert into t (id, a, b) values (3, null, 3);
