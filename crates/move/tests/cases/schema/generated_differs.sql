-- covers: Schema: generated columns
-- verdict: refused: on the source is
create table t (id int primary key, a int, s int as (a * 2) stored);
-- on the target
create table t (id int primary key, a int, s int);
-- while copying
insert into t (id, a) values (1, 1);
