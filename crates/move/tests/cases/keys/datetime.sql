-- covers: Keys: datetime
-- verdict: equal
create table t (id datetime(6) primary key, n int);
-- rows
insert into t values ('2026-01-01 00:00:00', 1), ('2026-01-01 00:00:00.000001', 2), ('0000-00-00 00:00:00', 3), ('9999-12-31 23:59:59.999999', 4);
-- while copying
update t set n = 9; insert into t values ('2026-01-01 00:00:00.000002', 5);
-- while copying
delete from t where id = '0000-00-00 00:00:00'; update t set id = '2026-00-00 00:00:00' where n = 5;
