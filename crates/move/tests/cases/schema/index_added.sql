-- covers: Schema: DDL in mid-copy
-- verdict: halted: names schema_index_added.t
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
create unique index u on t (n);
