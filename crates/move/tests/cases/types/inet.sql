-- covers: Types: INET6
-- verdict: equal
-- tidb: refused: TiDB has no type inet6
create table t (id int primary key, a inet6, b inet4);
-- on tidb
create table t (id int primary key, a varchar(45), b varchar(15));
-- rows
insert into t values (1, '2001:db8::ff00:42:8329', '192.0.2.1'), (2, '::', '0.0.0.0'), (3, '::192.0.2.1', null);
-- while copying
update t set a = 'fe80::1:0:0:1', b = '255.255.255.255' where id = 2; insert into t values (4, '::ffff:192.0.2.1', '10.0.0.1');
