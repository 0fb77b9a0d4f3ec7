-- covers: Schema: triggers firing twice
-- verdict: refused: the target has g
-- tidb: equal
create table t (id int primary key, n int);
-- on the target
create table t (id int primary key, n int); create trigger g before insert on t for each row set new.n = 1;
-- on tidb
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
insert into t values (3, 3);
