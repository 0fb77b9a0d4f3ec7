-- covers: Keys: unique swaps within a transaction
-- verdict: refused: the target lacks u
create table t (id int primary key, u int, unique key u (u));
-- on the target
create table t (id int primary key, u int);
-- while copying
insert into t values (1, 1);
