-- covers: Keys: enum
-- verdict: equal
-- Order is that of the declaration, not of the letters.
create table t (id enum('z','m','a','B') primary key, n int);
-- rows
insert into t values ('z', 1), ('m', 2), ('a', 3);
-- while copying
update t set n = 10 where id = 'z'; insert into t values ('b', 4);
-- while copying
update t set id = '' where id = 'm'; delete from t where id = 'a';
