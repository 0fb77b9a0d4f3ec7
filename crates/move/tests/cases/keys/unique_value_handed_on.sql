-- covers: Keys: unique swaps within a transaction
-- verdict: equal
-- A unique value goes from row to row, in transactions of different lanes.
create table t (id int primary key, u int, unique key (u));
-- rows
insert into t values (1, 100), (2, null), (3, null), (4, null);
-- while copying
update t set u = null where id = 1; update t set u = 100 where id = 2; update t set u = null where id = 2;
update t set u = 100 where id = 3;
-- while copying
delete from t where id = 3; insert into t values (5, 100); update t set u = 101 where id = 5; update t set u = 100 where id = 4;
