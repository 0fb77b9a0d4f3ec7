-- covers: Keys: swaps through a temporary value
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2), (3, 3);
-- while copying
update t set id = -1 where id = 1; update t set id = 1 where id = 2; update t set id = 2 where id = -1;
-- while copying
begin; update t set id = -1 where id = 3; update t set id = 3 where id = 1; update t set id = 1 where id = -1; commit;
