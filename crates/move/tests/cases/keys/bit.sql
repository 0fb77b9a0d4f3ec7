-- covers: Types: BIT
-- verdict: equal
create table t (id bit(12) primary key, n int);
-- rows
insert into t values (b'1', 1), (b'100000000000', 2), (b'0', 3);
-- while copying
update t set n = 9; insert into t values (b'101', 4);
-- while copying
update t set id = b'111111111111' where id = b'0';
