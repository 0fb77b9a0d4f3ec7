-- covers: Schema: FK cascades
-- verdict: equal
-- The target's cascades are not to fire: the source's rows are what counts.
-- tables: p, t
create table p (id int primary key, n int); create table t (id int primary key, p int);
-- on the target
create table p (id int primary key, n int); create table t (id int primary key, p int, foreign key c (p) references p (id) on delete cascade on update cascade);
-- rows
insert into p values (1, 1), (2, 2); insert into t values (1, 1), (2, 2);
-- while copying
update p set n = 9; insert into t values (3, 2);
-- while copying
update p set id = 7 where id = 2;
-- afterwards
update p set id = 2 where id = 7; delete from p where id = 1; insert into p values (1, 1);
