-- covers: Types: zero and partial dates
-- verdict: equal
-- The 31st of February, which ALLOW_INVALID_DATES lets in.
create table t (id int primary key, a date, b datetime);
-- rows
insert into t values (1, '2026-02-31', '2026-02-31 00:00:00'), (2, '2026-04-31', '2026-04-31 23:59:59');
-- while copying
update t set a = '2025-02-29' where id = 2; insert into t values (3, '2026-06-31', '2026-09-31 00:00:01');
