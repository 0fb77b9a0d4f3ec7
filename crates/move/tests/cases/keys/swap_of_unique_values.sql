-- covers: Keys: unique swaps within a transaction; Keys: swaps through a temporary value
-- verdict: equal
create table t (id int primary key, u varchar(10) not null, unique key (u));
-- rows
insert into t values (1, 'a'), (2, 'b'), (3, 'c');
-- while copying
begin; update t set u = 'x' where id = 1; update t set u = 'a' where id = 2; update t set u = 'b' where id = 1; commit;
-- while copying
update t set u = 'y' where id = 1; update t set u = 'b' where id = 3; update t set u = 'c' where id = 1;
-- afterwards
begin; delete from t where id = 1; insert into t values (4, 'c'); update t set u = 'z' where id = 2; insert into t values (1, 'a'); commit;
