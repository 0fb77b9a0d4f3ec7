-- covers: Schema: CHECK
-- verdict: equal
create table t (id int primary key, v int, check (v > 0));
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
update t set v = 9; insert into t values (3, null);
