-- covers: Schema: DDL in mid-copy
-- verdict: equal
-- A temporary table of the same name is another table.
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
create temporary table t (id int primary key, n int); insert into t values (8, 8); drop temporary table t; update t set n = 5;
