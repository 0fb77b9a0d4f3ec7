-- covers: TiDB: charsets
-- verdict: equal
create table t (id int primary key, v varchar(20) character set ascii collate ascii_bin);
-- rows
insert into t values (1, 'a'), (2, '');
-- while copying
update t set v = 'b''\\' where id = 1; insert into t values (3, null);
