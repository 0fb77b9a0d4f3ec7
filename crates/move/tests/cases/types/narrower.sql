-- covers: Types: signedness
-- verdict: refused: on the source is
create table t (id bigint primary key, n int);
-- on the target
create table t (id int primary key, n int);
-- while copying
insert into t values (1, 1);
