-- covers: Log: system-versioned tables
-- verdict: equal
create table t (id int primary key, n int);
-- rows
create table other (id int primary key, n int) with system versioning;
insert into other values (1, 1); insert into t values (1, 1), (2, 2);
-- while copying
update other set n = 2; delete from other; update t set n = 7 where id = 2;
