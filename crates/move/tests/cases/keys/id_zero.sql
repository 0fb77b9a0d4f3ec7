-- covers: Keys: id = 0
-- verdict: equal
create table t (id int auto_increment primary key, n int);
-- rows
insert into t values (0, 1), (1, 2), (-3, 3);
-- while copying
update t set n = 9 where id = 0; delete from t where id = 1; insert into t values (1, 5), (null, 6);
-- while copying
delete from t where id = 0; insert into t values (0, 7);
