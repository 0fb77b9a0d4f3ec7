-- covers: Keys: u64 max; Types: signedness
-- verdict: equal
create table t (id bigint unsigned primary key, n int);
-- rows
insert into t values (18446744073709551615, 1), (9223372036854775808, 2), (9223372036854775807, 3), (0, 4);
-- while copying
update t set n = 9; insert into t values (18446744073709551614, 5);
-- while copying
update t set id = 1 where id = 18446744073709551615; delete from t where id = 9223372036854775808;
-- afterwards
insert into t values (18446744073709551615, 6);
