-- covers: Types: JSON numbers
-- verdict: equal
-- MariaDB's JSON is text: it stays as it was written.
create table t (id int primary key, j json);
-- on tidb
create table t (id int primary key, j longtext);
-- rows
insert into t values (1, '{"n": 1.0, "big": 12345678901234567890, "a":1, "a":2}'), (2, 'null'), (3, '[1, "ä😀", 1e400]');
-- while copying
update t set j = '{"b": -0.0, "a": 1E2}' where id = 2; insert into t values (4, null), (5, '""');
