-- covers: Schema: generated columns; Keys: unique swaps within a transaction
-- verdict: equal
-- A unique key over a column that is not moved.
create table t (id int primary key, a int, s int as (a % 100) stored, unique key (s));
-- rows
insert into t (id, a) values (1, 101), (2, 102), (3, 103);
-- while copying
update t set a = 199 where id = 1; update t set a = 201 where id = 2; insert into t (id, a) values (4, 302);
-- while copying
begin; update t set a = 98 where id = 3; update t set a = 3 where id = 4; update t set a = 2 where id = 3; commit;
