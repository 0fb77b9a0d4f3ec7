-- covers: Types: signedness
-- verdict: equal
create table t (id int primary key, a tinyint, b tinyint unsigned, c smallint unsigned zerofill, d mediumint, e mediumint unsigned, f int unsigned, g bigint, h bigint unsigned, i bool);
-- rows
insert into t values (1, -128, 255, 65535, -8388608, 16777215, 4294967295, -9223372036854775808, 18446744073709551615, true), (2, 127, 0, 7, 8388607, 0, 0, 9223372036854775807, 0, false);
-- while copying
update t set a = -a - 1, b = 255 - b, d = -d - 1, g = -1 - g, h = 18446744073709551615 - h; insert into t (id) values (3);
