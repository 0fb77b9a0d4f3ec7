-- covers: Log: rotation
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2), (3, 3);
-- while copying
update t set n = 10 where id = 1; flush binary logs; update t set n = 30 where id = 3;
-- while copying
flush binary logs; flush binary logs; insert into t values (4, 4);
-- afterwards
flush binary logs; delete from t where id = 2;
