-- covers: Log: session binlog_format
-- verdict: equal
-- What MIXED cannot log as a statement stands as rows, and is as good as any.
create table t (id int primary key, n varchar(40));
-- rows
insert into t values (1, 'a'), (2, 'b');
-- while copying
set session binlog_format = mixed; insert into t values (3, uuid());
