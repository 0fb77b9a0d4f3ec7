-- covers: Schema: partitions
-- verdict: refused: has rows
create table t (id int primary key);
-- on the target
create table t (id int primary key); insert into t values (1);
-- while copying
insert into t values (2);
