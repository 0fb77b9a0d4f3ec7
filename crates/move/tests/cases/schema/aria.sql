-- covers: Schema: non-transactional engines
-- verdict: refused: its engine is Aria
create table t (id int primary key) engine = aria;
-- on the target
create table t (id int primary key);
-- while copying
insert into t values (1);
