-- covers: Log: XA
-- verdict: halted: XA
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2);
-- while copying
xa start 'x'; update t set n = 3; xa end 'x'; xa prepare 'x'; xa commit 'x';
