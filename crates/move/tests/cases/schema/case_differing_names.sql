-- covers: Schema: reserved and case-differing names
-- verdict: equal
-- tidb: refused: for one table
-- tables: t, T
create table t (id int primary key, n int); create table T (id int primary key, n int);
-- on tidb
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2); insert into T values (1, 100), (3, 3);
-- while copying
update t set n = 5; update T set n = 50; insert into T values (4, 4);
