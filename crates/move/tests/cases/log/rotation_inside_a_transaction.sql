-- covers: Log: rotation
-- verdict: equal
-- The log is rotated while a transaction is open: its changes stand in the next file.
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
begin; update t set n = 10 where id = 1; flush local binary logs; update t set n = 20 where id = 2; commit;
