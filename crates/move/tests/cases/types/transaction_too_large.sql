-- covers: TiDB: transaction limits; Log: large transactions
-- verdict: equal
-- Committed in several transactions on the target, each with its checkpoint.
-- limits: part_bytes=2000, split_bytes=6000, chunk_rows=100
create table t (id int primary key, u int, v varchar(100), unique key (u));
-- rows
insert into t select seq, seq, repeat('x', 50) from seq_1_to_200;
-- while copying
begin; update t set u = u + 1000, v = repeat('y', 60); update t set u = u - 1000 where id % 2 = 0; delete from t where id % 5 = 0; insert into t select seq, -seq, 'new' from seq_2000_to_2300; update t set u = -u where id >= 2000; commit;
