-- covers: TiDB: collations
-- verdict: equal
-- Only keys tell values apart; elsewhere a collation changes no row.
create table t (id int primary key, v varchar(10) collate utf8mb4_swedish_ci);
-- on the target
create table t (id int primary key, v varchar(10) collate utf8mb4_bin);
-- rows
insert into t values (1, 'a'), (2, 'b');
-- while copying
update t set v = 'A' where id = 1; insert into t values (3, 'Å');
