-- covers: Log: MINIMAL image
-- verdict: halted: does not show column
create table t (id int primary key, n int, m int);
-- rows
insert into t values (1, 1, 1), (2, 2, 2);
-- while copying
set session binlog_row_image = minimal; update t set n = 3;
