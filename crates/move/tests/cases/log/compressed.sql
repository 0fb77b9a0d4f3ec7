-- covers: Log: compressed events
-- verdict: halted: compressed event
create table t (id int primary key, v varchar(400));
-- rows
insert into t values (1, 'a'), (2, 'b');
-- while copying
set global log_bin_compress_min_len = 10; set global log_bin_compress = on;
insert into t values (3, repeat('x', 300));
set global log_bin_compress = off;
