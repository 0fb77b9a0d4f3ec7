-- covers: Keys: datetime
-- verdict: equal
create table t (a date, b year, c time(2), n int, primary key (a, b, c));
-- rows
insert into t values ('2026-01-01', 1999, '-10:00:00.01', 1), ('2026-01-01', 1999, '-10:00:00', 2), ('0000-00-00', 2155, '837:59:59', 3);
-- while copying
update t set n = 9; insert into t values ('2026-01-01', 1999, '-837:59:59', 4);
-- while copying
update t set b = 2000 where n = 4; delete from t where c = '-10:00:00';
