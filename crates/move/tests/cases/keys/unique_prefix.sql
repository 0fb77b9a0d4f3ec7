-- covers: Keys: unique swaps within a transaction
-- verdict: equal
-- A unique key over a prefix: its values are not known, so everything waits for everything.
create table t (id int primary key, v text collate utf8mb4_bin, unique key (v(3)));
-- rows
insert into t values (1, 'abcdef'), (2, 'bcd'), (3, 'cde');
-- while copying
update t set v = 'xyz' where id = 1; update t set v = 'abc1' where id = 2; update t set v = 'bcd2' where id = 3;
-- while copying
begin; update t set v = 'tmp' where id = 1; update t set v = 'xyz9' where id = 2; update t set v = 'abc9' where id = 1; commit;
