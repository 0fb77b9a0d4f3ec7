-- covers: Types: ENUM '' and index 0
-- verdict: equal
create table t (id int primary key, e enum('a','B','ü',''), f enum('x','y') not null);
-- rows
insert into t values (1, 'a', 'x'), (2, '', 'y'), (3, 0, 'y'), (4, null, 0);
-- while copying
update t set e = 0 where id = 1; update t set e = '' where id = 3; update t set f = 0 where id = 2; insert into t values (5, 'ü', 'x'), (6, 'b', 0);
-- while copying
update t set e = 'nothing of it' where id = 5;
