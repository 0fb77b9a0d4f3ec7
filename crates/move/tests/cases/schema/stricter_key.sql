-- covers: Keys: unique swaps within a transaction
-- verdict: refused: only the target has u
create table t (id int primary key, u int);
-- on the target
create table t (id int primary key, u int, unique key u (u));
-- while copying
insert into t values (1, 1);
