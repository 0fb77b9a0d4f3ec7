-- covers: Schema: views, routines and definers
-- verdict: refused: it is not on the target
create table t (id int primary key);
-- on the target
create table other (id int primary key);
-- while copying
insert into t values (1);
