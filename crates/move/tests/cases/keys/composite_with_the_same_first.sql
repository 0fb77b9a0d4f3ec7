-- covers: Keys: composite
-- verdict: equal
-- All rows have the same first column: a range must be found by the second.
create table t (a int, b int, n int, primary key (a, b));
-- rows
insert into t select 1, seq, seq from seq_1_to_6;
-- while copying
delete from t where b = 1; update t set b = 100 where b = 2; insert into t values (1, 0, 0), (0, 1000, 0), (2, -1, 0);
-- while copying
update t set n = -n;
