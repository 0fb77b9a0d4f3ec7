-- covers: Keys: no key at all
-- verdict: refused: it has no primary key
create table t (id int, unique key (id));
-- while copying
insert into t values (1);
