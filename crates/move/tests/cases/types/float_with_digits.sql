-- covers: Types: FLOAT -0
-- verdict: equal
create table t (id int primary key, f float(7,2), d double(10,3));
-- rows
insert into t values (1, 12345.67, -1234.567), (2, 0.01, 0.001);
-- while copying
update t set f = f + 1, d = d + 1; insert into t values (3, -0.5, 9999999.999);
