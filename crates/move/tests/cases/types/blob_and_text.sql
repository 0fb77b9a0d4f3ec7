-- covers: Types: BLOB vs TEXT
-- verdict: equal
create table t (id int primary key, a tinyblob, b blob, c mediumblob, d longblob, e tinytext, f text, g mediumtext, h longtext);
-- rows
insert into t values (1, x'00', repeat(x'00', 60000), repeat(x'5c27', 40000), x'deadbeef', 'x', repeat('long ', 5000), repeat('ü', 40000), '😀'), (2, '', '', '', '', '', '', '', '');
-- while copying
update t set a = x'ff275c22', b = x'1a0a0d', c = null, f = 'line\nbreak\0zero\Z', h = repeat('"''\\', 5000) where id = 2; insert into t select 3, h, h, h, h, 'y', h, h, h from t where id = 2;
