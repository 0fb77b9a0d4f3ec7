-- covers: Types: invalid UTF-8 in latin1; TiDB: charsets
-- verdict: equal
-- Every byte is a character of the server's latin1, those that Windows leaves undefined too.
create table t (id int primary key, v varchar(300) character set latin1, b text character set latin1, c char(5) character set latin1);
-- on tidb
create table t (id int primary key, v varchar(300) character set latin1 collate latin1_bin, b text character set latin1 collate latin1_bin, c char(5) character set latin1 collate latin1_bin);
-- rows
insert into t values (1, x'e4fc80ff', x'818d8f909d', x'e9'), (2, x'c3a9', x'c3', x'ff80'), (3, '', '', '');
-- while copying
update t set v = x'808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1aa' where id = 3;
update t set b = x'00275c22ff' where id = 1; insert into t values (4, repeat(x'ff', 300), repeat(x'80', 2000), x'2020e9');
-- while copying
update t set v = x'efbfbd', c = x'80' where id = 2;
