-- covers: Log: TRUNCATE; Schema: DDL in mid-copy
-- verdict: halted: names log_truncate.t
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
truncate table t;
