-- covers: Log: MINIMAL image
-- verdict: halted: does not show column
create table t (id int primary key, n int, b blob);
-- rows
insert into t values (1, 1, 'x'), (2, 2, 'y');
-- while copying
set session binlog_row_image = noblob; update t set n = 3;
