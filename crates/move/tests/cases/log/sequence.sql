-- covers: Log: sequences
-- verdict: equal
-- A sequence arrives as writes of a table of its name; it is not among the moved ones.
create table t (id int primary key, n int);
-- on the target
create table t (id int primary key, n int);
-- rows
create sequence s start with 5 cache 3; insert into t values (nextval(s), 1), (nextval(s), 2);
-- while copying
insert into t select nextval(s), seq from seq_1_to_10; select setval(s, 100); insert into t values (nextval(s), 3);
