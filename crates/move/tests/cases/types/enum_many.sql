-- covers: Types: ENUM '' and index 0
-- verdict: equal
-- Many empty error values in one statement: each is a warning.
-- limits: chunk_rows=100
create table t (id int primary key, e enum('a') not null);
-- rows
insert into t select seq, 0 from seq_1_to_300;
-- while copying
update t set e = 1 where id % 3 = 0; insert into t select seq, 0 from seq_1000_to_1200;
