-- covers: Schema: FK cascades
-- verdict: refused: changes rows without the log telling
-- tables: p, t
create table p (id int primary key); create table t (id int primary key, p int, foreign key c (p) references p (id) on update set null);
-- while copying
select 1;
