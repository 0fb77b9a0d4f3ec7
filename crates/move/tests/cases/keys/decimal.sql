-- covers: Types: DECIMAL(30,10)
-- verdict: equal
create table t (id decimal(30,10) primary key, n int);
-- rows
insert into t values (-1.5, 1), (0, 2), (12345678901234567890.0123456789, 3), (0.0000000001, 4);
-- while copying
update t set n = 9; update t set id = -0.0000000001 where id = 0;
-- while copying
update t set id = 99999999999999999999.9999999999 where id = -1.5; insert into t values (-1.5, 5);
