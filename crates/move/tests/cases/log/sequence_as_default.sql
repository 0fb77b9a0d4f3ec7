-- covers: Log: sequences
-- verdict: equal
create sequence s; create table t (id int primary key default (next value for s), n int);
-- on the target
create table t (id int primary key, n int);
-- rows
insert into t (n) values (1), (2);
-- while copying
insert into t (n) values (3), (4); update t set n = 9 where id = 1;
