-- covers: Keys: case-insensitive varchar; TiDB: collations
-- verdict: equal
-- A collation that TiDB lacks is moved to one that tells more apart.
create table t (id varchar(10) character set latin1 collate latin1_swedish_ci primary key, u varchar(9) character set latin1 collate latin1_swedish_ci unique, n int);
-- on tidb
create table t (id varchar(10) character set latin1 collate latin1_bin primary key, u varchar(9) character set latin1 collate latin1_bin unique, n int);
-- rows
insert into t values ('a', 'x', 1), ('ä', 'ü', 2), ('Z', 'Ÿ', 3);
-- while copying
update t set id = 'A' where id = 'a'; update t set u = 'X' where id = 'a'; update t set u = 'é' where n = 3;
-- while copying
delete from t where id = 'Ä'; insert into t values ('Ä', 'Ü', 4); update t set id = 'z' where id = 'Z';
