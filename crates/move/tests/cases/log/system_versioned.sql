-- covers: Log: system-versioned tables
-- verdict: refused: it is a system versioned
create table t (id int primary key, n int) with system versioning;
-- on the target
create table t (id int primary key, n int);
-- while copying
update t set n = 1;
