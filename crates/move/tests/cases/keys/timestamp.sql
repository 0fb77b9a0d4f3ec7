-- covers: Keys: datetime; Types: TIMESTAMP across DST with differing session zones
-- verdict: equal
create table t (id timestamp(3) not null default '2000-01-01 00:00:00' primary key, n int);
-- rows
insert into t values ('2026-10-25 00:30:00', 1), ('2026-10-25 01:30:00', 2), ('2026-03-29 01:00:00.001', 3);
-- while copying
set time_zone = '+05:30'; update t set n = 8; insert into t values ('2026-10-25 02:30:00', 4);
-- while copying
set time_zone = '-11:00'; update t set id = '1999-01-01 00:00:00.999' where n = 4;
