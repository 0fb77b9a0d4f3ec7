-- covers: Types: four-byte characters
-- verdict: equal
create table t (id varchar(20) character set utf8mb3 collate utf8mb3_general_ci primary key, v varchar(20) character set utf8mb3 collate utf8mb3_bin);
-- on tidb
create table t (id varchar(20) character set utf8 collate utf8_general_ci primary key, v varchar(20) character set utf8 collate utf8_bin);
-- rows
insert into t values ('ä', 'ä'), ('b', '€'), ('c', '');
-- while copying
update t set v = 'ü'; update t set id = 'Ä' where id = 'ä';
-- while copying
insert into t values ('日本', '日本');
