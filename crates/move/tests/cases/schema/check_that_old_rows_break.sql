-- covers: Schema: CHECK
-- verdict: halted: does not take a row
-- tidb: equal
-- The target has a check that the source has not.
create table t (id int primary key, v int);
-- on the target
create table t (id int primary key, v int, check (v > 0));
-- rows
insert into t values (1, 1), (2, -2);
-- while copying
update t set v = 5 where id = 1;
