-- covers: Keys: no key at all
-- verdict: refused: its primary key has id double
create table t (id double primary key);
-- while copying
insert into t values (1);
