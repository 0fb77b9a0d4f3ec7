-- covers: Types: INET6
-- verdict: equal
-- tidb: refused: TiDB has no type inet6
create table t (id inet6 primary key, n int);
-- on tidb
create table t (id varchar(45) primary key, n int);
-- rows
insert into t values ('::', 1), ('::1', 2), ('2001:db8::1', 3);
-- while copying
update t set n = 9; insert into t values ('::ffff:192.0.2.1', 4);
-- while copying
update t set id = '::2' where id = '::';
