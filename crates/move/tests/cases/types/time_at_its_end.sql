-- covers: Types: TIME beyond 24 h
-- verdict: equal
-- tidb: halted: the target warned
-- The last second with a fraction of two digits: TiDB warns, and what it stores is not asked.
create table t (id int primary key, a time(2));
-- rows
insert into t values (1, '10:00:00.01'), (2, '11:00:00');
-- while copying
update t set a = '838:59:59.99' where id = 1; insert into t values (3, '-838:59:59.99');
