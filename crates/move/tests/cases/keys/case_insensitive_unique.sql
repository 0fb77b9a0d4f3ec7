-- covers: Keys: case-insensitive varchar; Keys: trailing spaces
-- verdict: equal
create table t (id int primary key, u varchar(20) collate utf8mb4_general_ci, unique key (u));
-- rows
insert into t values (1, 'a'), (2, 'b'), (3, 'é');
-- while copying
update t set u = 'A ' where id = 1; update t set u = 'x' where id = 3; insert into t values (4, 'E');
-- while copying
begin; delete from t where id = 4; insert into t values (5, 'è'); commit; update t set u = null where id = 5; update t set u = 'e' where id = 2;
