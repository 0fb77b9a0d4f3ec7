-- covers: Types: gbk
-- verdict: equal
create table t (id varchar(20) character set gbk collate gbk_bin primary key, n int);
-- rows
insert into t values (x'bf5c', 1), (x'b0a1', 2), ('abc', 3);
-- while copying
update t set n = 9; update t set id = x'815c' where id = 'abc';
-- while copying
delete from t where id = x'b0a1'; insert into t values (x'b0a2', 4);
