-- covers: Log: XA
-- verdict: equal
-- Committed in one phase it is logged as any other transaction: at its commit, when it can be seen.
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
xa start 'y'; update t set n = 3; xa end 'y'; xa commit 'y' one phase;
