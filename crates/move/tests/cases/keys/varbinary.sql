-- covers: Keys: BINARY with trailing zeros
-- verdict: equal
create table t (id varbinary(10) primary key, n int);
-- rows
insert into t values (x'01', 1), (x'0100', 2), (x'010000', 3), ('', 4), (x'275c00', 5);
-- while copying
update t set n = 9; update t set id = x'01000000' where id = x'0100';
-- while copying
insert into t values (x'0100', 6); delete from t where id = ''; update t set id = x'5c27' where id = x'275c00';
