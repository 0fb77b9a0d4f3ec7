-- covers: Schema: views, routines and definers
-- verdict: equal
create table t (id int primary key, n int);
-- rows
insert into t values (1, 1), (2, 2); create definer = nobody@nowhere sql security invoker view w as select * from t;
create procedure p() insert into t values (10, 10);
delimiter //
create function f(x int) returns int deterministic modifies sql data begin insert into t values (x, x); return x; end //
delimiter ;
-- while copying
update w set n = 5 where id = 1; call p(); select f(20);
-- while copying
drop procedure p; drop view w;
