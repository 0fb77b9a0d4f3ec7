-- covers: Types: zero and partial dates
-- verdict: equal
create table t (id int primary key, a date, b datetime, c timestamp null);
-- rows
insert into t values (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'), (2, '2026-00-00', '2026-00-01 00:00:00', null), (3, '2026-02-00', '2026-02-00 01:02:03', '1970-01-01 00:00:01');
-- while copying
update t set a = '0000-00-01', b = '9999-12-31 23:59:59', c = '2038-01-19 03:14:07' where id = 1; insert into t values (4, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00');
-- while copying
update t set a = '0001-01-01', b = '0000-00-00 00:00:00' where id = 2;
