-- covers: Types: geometry; TiDB: spatial
-- verdict: equal
-- tidb: refused: TiDB has no type point
create table t (id int primary key, p point, g geometry);
-- on tidb
create table t (id int primary key, p blob, g blob);
-- rows
insert into t values (1, point(1, -2.5), st_geomfromtext('polygon((0 0,1 0,1 1,0 0))', 4326)), (2, null, null);
-- while copying
update t set p = point(0, 0), g = st_geomfromtext('multipoint(1 1, 2 2)') where id = 2; insert into t values (3, point(1e308, 1e-308), point(1, 1));
