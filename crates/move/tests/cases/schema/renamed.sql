-- covers: Schema: DDL in mid-copy
-- verdict: halted: names schema_renamed.t
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2); create table other like t;
-- while copying
rename table t to gone, other to t;
