-- covers: Types: gbk; TiDB: charsets
-- verdict: equal
-- The second byte of a character may be a backslash.
create table t (id int primary key, v varchar(20) character set gbk collate gbk_chinese_ci);
-- rows
insert into t values (1, x'bf5c'), (2, x'b0a1'), (3, 'abc');
-- while copying
update t set v = x'815c27' where id = 2; insert into t values (4, x'bf5cbf5c'), (5, '');
-- while copying
update t set v = x'b0a1b0a2' where id = 1;
