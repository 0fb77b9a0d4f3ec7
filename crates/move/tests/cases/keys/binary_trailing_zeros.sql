-- covers: Keys: BINARY with trailing zeros
-- verdict: equal
create table t (id binary(4) primary key, n int);
-- rows
insert into t values (x'01000000', 1), (x'01', 2) on duplicate key update n = 3; insert into t values (x'00', 4), (x'0100000f', 5), (x'20202020', 6);
-- while copying
update t set n = 9 where id = x'01000000'; update t set id = x'0200' where id = x'00000000';
-- while copying
delete from t where id = x'02000000'; insert into t values (x'', 7), (x'ff', 8);
