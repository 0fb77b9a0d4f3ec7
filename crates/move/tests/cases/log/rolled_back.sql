-- covers: Log: savepoints
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
begin; update t set n = 99; rollback; update t set n = 5 where id = 2;
