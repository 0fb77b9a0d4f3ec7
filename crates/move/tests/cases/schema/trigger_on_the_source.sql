-- covers: Schema: triggers firing twice; TiDB: triggers
-- verdict: equal
-- tidb: refused: TiDB has no triggers
-- tables: t, l
create table t (id int primary key, n int); create table l (id int auto_increment primary key, note varchar(20));
-- rows
insert into t values (1, 1), (2, 2); create trigger g after update on t for each row insert into l (note) values (concat('was ', old.n));
-- while copying
update t set n = 5 where id = 1;
-- while copying
update t set n = 6;
