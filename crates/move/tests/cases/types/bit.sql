-- covers: Types: BIT
-- verdict: equal
create table t (id int primary key, a bit(1), b bit(8), c bit(13), d bit(64));
-- rows
insert into t values (1, 1, 255, 4097, 18446744073709551615), (2, 0, 0, 0, 0), (3, null, null, null, null);
-- while copying
update t set a = 1, b = 92, c = 39, d = 1 where id > 1; insert into t values (4, 0, 39, 92, 9223372036854775808);
-- while copying
update t set b = 10, c = 13, d = 34 where id = 1;
