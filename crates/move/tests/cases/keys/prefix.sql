-- covers: Keys: no key at all
-- verdict: refused: it has no primary key of whole
create table t (id text, primary key (id(10)));
-- while copying
insert into t values ('1');
