-- covers: Schema: reserved and case-differing names
-- verdict: equal
-- tables: select, order by, `quo`ted`
create table `select` (`from` int primary key, `where` int, unique key `group` (`where`));
create table `order by` (`a b` int, `key` varchar(5) collate utf8mb4_bin, primary key (`key`, `a b`));
create table ```quo``ted``` (`i``d` int primary key, `"x"` int);
-- rows
insert into `select` values (1, 1), (2, 2); insert into `order by` values (1, 'x'), (2, 'y'); insert into ```quo``ted``` values (1, 1);
-- while copying
update `select` set `where` = 9 where `from` = 1; update `order by` set `key` = 'z' where `a b` = 2; insert into ```quo``ted``` values (2, 2);
