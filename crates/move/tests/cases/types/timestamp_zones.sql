-- covers: Types: TIMESTAMP across DST with differing session zones
-- verdict: equal
create table t (id int primary key, a timestamp null, b datetime);
-- rows
set time_zone = '+01:00'; insert into t values (1, '2026-03-29 02:30:00', '2026-03-29 02:30:00'), (2, '2026-10-25 02:30:00', '2026-10-25 02:30:00');
-- while copying
set time_zone = '+02:00'; insert into t values (3, '2026-10-25 02:30:00', '2026-10-25 02:30:00'); update t set a = '2026-10-25 03:00:00' where id = 1;
-- while copying
set time_zone = '-09:30'; insert into t values (4, '2026-10-25 02:30:00', '2026-10-25 02:30:00'); update t set b = a;
