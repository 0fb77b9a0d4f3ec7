-- covers: Keys: BINARY with trailing zeros
-- verdict: equal
create table t (id int primary key, a binary(8), b varbinary(20), c binary(255));
-- rows
insert into t values (1, x'0100', x'010000', x'01'), (2, '', '', ''), (3, x'2020', x'5c27220a1a', repeat(x'00', 255));
-- while copying
update t set a = x'00000000000000ff', b = x'00' where id = 2; insert into t values (4, null, null, null), (5, 'a ', 'a ', 'a ');
