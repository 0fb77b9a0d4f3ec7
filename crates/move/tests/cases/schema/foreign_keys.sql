-- covers: Schema: foreign keys without cascades
-- verdict: equal
-- A child may arrive before its parent, which another lane brings.
-- tables: t, a_parent
create table a_parent (id int primary key, n int); create table t (id int primary key, p int, constraint `child to parent` foreign key (p) references a_parent (id));
-- rows
insert into a_parent values (1, 1), (2, 2); insert into t values (1, 1), (2, 2);
-- while copying
insert into a_parent values (3, 3); insert into t values (3, 3); delete from t where id = 1; delete from a_parent where id = 1;
-- while copying
begin; insert into a_parent values (4, 4); insert into t values (4, 4); update t set p = 4 where id = 2; delete from a_parent where id = 2; commit;
