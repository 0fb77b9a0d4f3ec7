-- covers: Log: TRUNCATE
-- verdict: equal
create table t (id int primary key, n int); create table other (id int primary key);
-- rows
insert into t values (1, 1), (2, 2); insert into other values (1);
-- while copying
truncate table other; update t set n = 3; drop table other;
