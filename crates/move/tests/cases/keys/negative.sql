-- covers: Types: signedness
-- verdict: equal
create table t (id bigint primary key, n int);
-- rows
insert into t values (-9223372036854775808, 1), (-1, 2), (0, 3), (9223372036854775807, 4);
-- while copying
update t set n = 9; insert into t values (-2, 5);
-- while copying
update t set id = -9223372036854775807 where id = -1;
