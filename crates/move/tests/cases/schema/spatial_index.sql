-- covers: TiDB: spatial
-- verdict: equal
-- tidb: refused: TiDB has no
create table t (id int primary key, p point not null, spatial index (p));
-- on tidb
create table t (id int primary key, p blob not null);
-- rows
insert into t values (1, point(1, 1)), (2, point(2, 2));
-- while copying
update t set p = point(3, 3) where id = 1;
