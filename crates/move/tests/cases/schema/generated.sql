-- covers: Schema: generated columns
-- verdict: equal
create table t (id int primary key, a int, s int as (a * 2) stored, v int as (a + 1) virtual, w varchar(20) as (concat('w', a)) virtual);
-- rows
insert into t (id, a) values (1, 1), (2, 2), (3, null);
-- while copying
update t set a = 10 where id = 3; insert into t (id, a) values (4, 4);
-- while copying
update t set id = 50 where id = 1; delete from t where id = 2;
