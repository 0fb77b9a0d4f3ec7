-- covers: Types: FLOAT -0
-- verdict: equal
create table t (id int primary key, f float, d double);
-- rows
insert into t values (1, 0.1, 0.1), (2, -0e0, -0e0), (3, 1.17549e-38, 4.9e-324), (4, 3.40282e38, 1.7976931348623157e308);
-- while copying
update t set f = -f, d = -d; insert into t values (5, 16777217, 1e300), (6, 0e0, -0e0);
-- while copying
update t set f = -0e0, d = 0e0 where id = 6; update t set f = 1e-7, d = 123456789.123456789 where id = 1;
