-- covers: Log: large transactions
-- verdict: equal
-- One transaction touches every row of the chunk that is being read, and more.
-- limits: part_bytes=1500, chunk_rows=50
create table t (id int primary key, v varchar(100));
-- rows
insert into t select seq, repeat('a', 50) from seq_1_to_200;
-- while copying
update t set v = repeat('b', 60);
-- while copying
begin; delete from t; insert into t select seq, repeat('c', 40) from seq_1_to_120; commit;
