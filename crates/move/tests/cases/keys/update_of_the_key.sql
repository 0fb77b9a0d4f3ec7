-- covers: Keys: key updates
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2), (3, 3), (4, 4);
-- while copying
update t set id = 100 where id = 1; update t set id = -5 where id = 4;
-- while copying
update t set id = 50 where id = 100; update t set id = 1 where id = 50; update t set id = 3000 where id = 3;
-- while copying
update t set id = id + 10 order by id desc;
-- afterwards
update t set id = id - 10 order by id;
