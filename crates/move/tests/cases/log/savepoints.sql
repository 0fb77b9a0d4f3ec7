-- covers: Log: savepoints
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2), (3, 3);
-- while copying
begin; update t set n = 10 where id = 1; savepoint a; update t set n = 20 where id = 2; savepoint b; delete from t;
rollback to b; insert into t values (4, 4); rollback to savepoint a; insert into t values (5, 5); release savepoint a; commit;
-- while copying
begin; insert into t values (6, 6); savepoint c; insert into t values (7, 7); rollback to c; rollback;
