-- covers: Keys: trailing spaces; TiDB: collations
-- verdict: equal
-- tidb: refused: takes values for equal
-- Without padding, 'a' and 'a ' are two keys.
create table t (id varchar(20) collate utf8mb4_nopad_bin primary key, n int);
-- on tidb
create table t (id varchar(20) collate utf8mb4_bin primary key, n int);
-- rows
insert into t values ('a', 1), ('a ', 2), ('a  ', 3);
-- while copying
update t set n = 5 where id = 'a '; delete from t where id = 'a'; insert into t values ('a   ', 4);
