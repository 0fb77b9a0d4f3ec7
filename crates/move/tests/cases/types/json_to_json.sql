-- covers: Types: JSON numbers
-- verdict: equal
-- tidb: refused: would be written otherwise
-- TiDB's JSON would sort keys and round numbers: no longer what was written.
create table t (id int primary key, j json);
-- rows
insert into t values (1, '{"n": 1.0, "big": 12345678901234567890}'), (2, '[]');
-- while copying
update t set j = '{"b": 1, "a": 2}' where id = 2;
