-- covers: Keys: unique swaps within a transaction
-- verdict: equal
-- One statement shifts every unique value by one.
create table t (id int primary key, u int not null, unique key (u));
-- rows
insert into t select seq, seq from seq_1_to_20;
-- while copying
update t set u = u + 1 order by u desc;
-- while copying
update t set u = u - 1 order by u;
