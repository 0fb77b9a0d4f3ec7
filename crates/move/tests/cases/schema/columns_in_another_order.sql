-- covers: Schema: generated columns
-- verdict: refused: on the source is
create table t (id int primary key, a int, b int);
-- on the target
create table t (id int primary key, b int, a int);
-- while copying
insert into t values (1, 1, 1);
