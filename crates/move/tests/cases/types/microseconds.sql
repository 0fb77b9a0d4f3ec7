-- covers: Types: microseconds
-- verdict: equal
create table t (id int primary key, a datetime(6), b datetime(3), c datetime(1), d timestamp(6) null, e time(6), f time(2));
-- rows
insert into t values (1, '2026-11-21 20:52:51.000001', '2026-11-21 20:52:51.120', '2026-11-21 20:52:51.1', '2026-11-21 20:52:51.999999', '-00:00:00.000001', '00:00:00.01'), (2, '9999-12-31 23:59:59.999999', null, null, null, '25:00:00.5', '-00:00:01.10');
-- while copying
update t set a = '2026-01-01 00:00:00', e = '00:00:00' where id = 1; insert into t values (3, '2026-11-21 20:52:51.1', '2026-11-21 20:52:51.001', '2026-11-21 20:52:51.9', '2026-11-21 20:52:51.000010', '-838:59:58.999999', '837:59:59.99');
-- while copying
update t set b = '2026-11-21 20:52:51.999', f = '-00:00:00.01' where id = 2;
