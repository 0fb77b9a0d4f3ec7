-- covers: Schema: ON UPDATE CURRENT_TIMESTAMP
-- verdict: equal
create table t (id int primary key, n int, c timestamp(6) default current_timestamp(6), u timestamp(6) default current_timestamp(6) on update current_timestamp(6), d datetime default current_timestamp on update current_timestamp);
-- rows
set timestamp = 1700000000; insert into t (id, n) values (1, 1), (2, 2), (3, 3);
-- while copying
set timestamp = 1710000000; update t set n = 9; insert into t (id, n, u) values (4, 4, '2001-01-01 00:00:00');
-- while copying
set timestamp = 1720000000.123456; update t set n = 10 where id = 2;
