-- covers: Keys: composite
-- verdict: equal
create table t (a int, b varchar(10) collate utf8mb4_bin, c date, n int, primary key (b, c, a));
-- rows
insert into t values (1, 'x', '2026-01-01', 1), (1, 'x', '2026-01-02', 2), (1, 'y', '2026-01-01', 3), (2, 'x', '2026-01-01', 4);
-- while copying
update t set n = 9 where b = 'x'; update t set b = 'w' where a = 2; insert into t values (0, 'x', '2025-12-31', 5);
-- while copying
update t set c = '2026-01-03' where b = 'y'; delete from t where c = '2026-01-02';
