-- covers: Keys: key updates
-- verdict: equal
-- A row moves from what is not copied yet to what is, and back.
create table t (id int primary key, n int);
-- rows
insert into t values (10, 1), (20, 2), (30, 3), (40, 4);
-- while copying
update t set n = 5 where id = 10;
-- while copying
update t set id = 5 where id = 40; update t set id = 45 where id = 10;
-- while copying
update t set id = 40 where id = 5; update t set id = 10 where id = 45;
