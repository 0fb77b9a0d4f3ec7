-- covers: Schema: DDL in mid-copy
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
create table other (id int); alter table other add x int; create index i on other (x); rename table other to another; drop table another; update t set n = 3;
analyze table t; flush tables t; grant select on t to somebody@localhost identified by 'x'; create database schema_other_definitions_2; drop database schema_other_definitions_2;
-- while copying
insert into t values (4, 4); optimize table t; check table t;
