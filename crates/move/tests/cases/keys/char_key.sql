-- covers: Keys: trailing spaces
-- verdict: equal
create table t (id char(10) character set latin1 collate latin1_bin primary key, n int);
-- rows
insert into t values ('a', 1), ('ä', 2), ('ÿ', 3);
-- while copying
update t set n = 9; update t set id = 'é' where id = 'a';
-- while copying
update t set id = 'Z' where id = 'ä'; insert into t values ('ä', 4);
