-- covers: Keys: ids handed out and deleted
-- verdict: equal
-- The last table is empty when its turn comes, and is filled after it.
-- tables: t, u
create table t (id int primary key); create table u (id int primary key);
-- rows
insert into t values (1), (2);
-- while copying
insert into t values (3);
-- while copying
delete from t where id = 1;
-- afterwards
insert into u values (1), (2); delete from u where id = 1;
