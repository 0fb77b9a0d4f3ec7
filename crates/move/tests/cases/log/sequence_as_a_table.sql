-- covers: Log: sequences
-- verdict: refused: it is a sequence
create sequence t;
-- on the target
create table t (id int primary key);
-- while copying
select nextval(t);
