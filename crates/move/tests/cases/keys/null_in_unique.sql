-- covers: Keys: NULL in unique keys
-- verdict: equal
create table t (id int primary key, a int, b int, unique key (a, b));
-- rows
insert into t values (1, null, 1), (2, null, 1), (3, 1, null), (4, 1, null), (5, 1, 1);
-- while copying
update t set a = 2 where id = 1; update t set b = null where id = 5; insert into t values (6, null, null), (7, null, null), (8, 1, 1);
-- while copying
update t set a = null; update t set a = id;
