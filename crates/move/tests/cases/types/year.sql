-- covers: Types: YEAR
-- verdict: equal
create table t (id int primary key, y year);
-- rows
insert into t values (1, 1901), (2, 2155), (3, '0000');
-- while copying
update t set y = 1999 where id = 3; insert into t values (4, '0000'), (5, '0'), (6, null);
-- while copying
update t set y = '0000' where id = 1;
