-- covers: Log: session binlog_format
-- verdict: halted: logged as a statement
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
set session binlog_format = statement; update t set n = 3;
