-- covers: Schema: generated columns
-- verdict: refused: it has no primary key of whole, stored columns
create table t (a int, id int as (a * 2) stored, unique key (id));
-- while copying
insert into t (a) values (1);
