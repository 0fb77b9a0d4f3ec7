-- covers: Types: signedness; Keys: key updates
-- verdict: equal
-- limits: chunk_rows=3
-- A SELECT shows leading zeros, the log does not: still one key.
create table t (id int(6) unsigned zerofill primary key, d decimal(9,2) unsigned zerofill, n smallint unsigned zerofill);
-- rows
insert into t values (1, 1.5, 1), (2, 2.5, 2), (3, 3.5, 3), (4, 4.5, 4), (5, 5.5, 5);
-- while copying
update t set n = 7 where id = 1;
-- while copying
update t set n = 9, d = 0.25 where id <= 3; delete from t where id = 2;
