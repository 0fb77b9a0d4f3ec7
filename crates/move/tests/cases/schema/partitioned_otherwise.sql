-- covers: Schema: partitions
-- verdict: equal
create table t (id int primary key, n int) partition by hash (id) partitions 3;
-- on the target
create table t (id int primary key, n int) partition by key (id) partitions 5;
-- rows
insert into t select seq, seq from seq_1_to_9;
-- while copying
update t set id = id + 100 where id > 5; delete from t where id = 1;
