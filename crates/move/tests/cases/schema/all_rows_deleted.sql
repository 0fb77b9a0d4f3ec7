-- covers: Keys: ids handed out and deleted
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t select seq, seq from seq_1_to_5;
-- while copying
delete from t;
-- afterwards
insert into t select seq, 0 from seq_3_to_7;
