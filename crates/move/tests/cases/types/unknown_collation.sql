-- covers: TiDB: collations
-- verdict: equal
-- TiDB has no uca1400 collations; a finer one takes their place.
create table t (id varchar(10) collate utf8mb4_uca1400_ai_ci primary key, n int);
-- on tidb
create table t (id varchar(10) collate utf8mb4_bin primary key, n int);
-- rows
insert into t values ('a', 1), ('É', 2), ('straße', 3);
-- while copying
update t set id = 'A' where id = 'a'; update t set id = 'e' where id = 'É';
-- while copying
delete from t where id = 'e'; insert into t values ('é', 4); update t set id = 'STRASSE' where id = 'straße';
