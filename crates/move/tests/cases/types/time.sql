-- covers: Types: TIME beyond 24 h
-- verdict: equal
create table t (id int primary key, a time, b time(6));
-- rows
insert into t values (1, '-838:59:59', '-838:59:59.999999'), (2, '838:59:59', '838:59:59'), (3, '00:00:00', '-00:00:00.000001');
-- while copying
update t set a = '25:00:01', b = '-24:00:00.5'; insert into t values (4, '-00:00:01', '99:59:59.9');
-- while copying
update t set a = '100:00:00' where id = 3;
