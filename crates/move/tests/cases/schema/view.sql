-- covers: Schema: views, routines and definers
-- verdict: refused: it is a view
create view t as select 1 as id;
-- on the target
create table t (id int primary key);
-- while copying
select 1;
