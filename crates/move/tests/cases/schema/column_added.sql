-- covers: Schema: DDL in mid-copy
-- verdict: halted: names schema_column_added.t
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
alter table t add x int default 7 first;
