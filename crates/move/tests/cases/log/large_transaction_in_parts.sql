-- covers: Log: large transactions
-- verdict: equal
-- limits: part_bytes=2000
create table t (id int primary key, n int, u int, unique key (u));
-- rows
insert into t select seq, seq, seq from seq_1_to_3;
-- while copying
begin; insert into t select seq, 0, seq from seq_100_to_400; update t set n = n + 1;
update t set u = -u where id >= 100; delete from t where id > 300; update t set id = id + 1000 where id between 150 and 250; commit;
-- while copying
begin; update t set u = null; update t set u = id; commit;
