-- covers: Schema: reserved and case-differing names
-- verdict: equal
create table t (ID int primary key, `Größe` int, `UPPER` int);
-- rows
insert into t values (1, 1, 1), (2, 2, 2);
-- while copying
update t set `größe` = 5, upper = 3 where id = 1; insert into t (id, `größe`) values (3, 3);
