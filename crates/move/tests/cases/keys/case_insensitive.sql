-- covers: Keys: case-insensitive varchar
-- verdict: equal
create table t (id varchar(20) collate utf8mb4_general_ci primary key, n int);
-- rows
insert into t values ('a', 1), ('B', 2), ('c', 3), ('ä1', 4);
-- while copying
update t set id = 'A' where id = 'a'; update t set id = 'b' where id = 'B';
-- while copying
delete from t where id = 'A'; insert into t values ('a', 5); update t set id = 'C' where id = 'c'; update t set id = 'Ä1' where id = 'ä1';
-- afterwards
update t set id = 'a ' where id = 'a'; update t set id = upper(id);
