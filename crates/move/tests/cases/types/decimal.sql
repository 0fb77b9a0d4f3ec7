-- covers: Types: DECIMAL(30,10)
-- verdict: equal
create table t (id int primary key, a decimal(30,10), b decimal(65,30), c decimal(5,0), d decimal(9,9));
-- rows
insert into t values (1, -12345678901234567890.0123456789, -0.000000000000000000000000000001, -99999, 0.123456789), (2, 0, 0, 0, 0);
-- while copying
update t set a = 99999999999999999999.9999999999, b = 12345678901234567890123456789012345.5, c = 1, d = -0.000000001 where id = 2; insert into t values (3, -0.1, -1, -1, -0.1);
-- while copying
insert into t values (4, null, null, null, null); update t set a = 0.0000000001 where id = 1;
