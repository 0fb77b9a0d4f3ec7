-- covers: Schema: non-transactional engines
-- verdict: equal
-- What a rolled-back transaction wrote to a table that cannot roll back is logged apart from it.
create table t (id int primary key, n int); create table m (id int primary key) engine = myisam;
-- on the target
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
begin; update t set n = 3; insert into m values (1); rollback; update t set n = 4 where id = 1;
