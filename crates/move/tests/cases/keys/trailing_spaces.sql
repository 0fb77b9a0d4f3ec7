-- covers: Keys: trailing spaces
-- verdict: equal
create table t (id varchar(20) collate utf8mb4_bin primary key, n int);
-- rows
insert into t values ('a', 1), ('b  ', 2), ('c', 3);
-- while copying
update t set id = 'a   ' where id = 'a'; update t set n = 9 where id = 'b';
-- while copying
update t set id = 'b' where id = 'b'; delete from t where id = 'a'; insert into t values ('a ', 4);
