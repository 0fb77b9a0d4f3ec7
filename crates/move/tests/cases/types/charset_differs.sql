-- covers: TiDB: charsets
-- verdict: refused: in utf8mb4 on the source
create table t (id int primary key, v varchar(10));
-- on the target
create table t (id int primary key, v varchar(10) character set latin1);
-- on tidb
create table t (id int primary key, v varchar(10) character set latin1 collate latin1_bin);
-- while copying
insert into t values (1, 'a');
