-- covers: Keys: ids handed out and deleted
-- verdict: equal
create table t (id int auto_increment primary key, n int);
-- rows
insert into t (n) values (1), (2), (3); delete from t where id = 3;
-- while copying
insert into t (n) values (4), (5); delete from t where n = 5; delete from t where id = 1;
-- while copying
begin; insert into t (n) values (6); delete from t where n = 6; commit; insert into t (n) values (7); delete from t where id = 2; insert into t values (2, 22);
