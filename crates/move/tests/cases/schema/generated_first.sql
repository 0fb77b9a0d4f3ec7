-- covers: Schema: generated columns
-- verdict: equal
-- Generated columns stand before and between those that are moved.
create table t (g int as (b + 1) stored, id int, h varchar(9) as (upper(c)) virtual, b int, c varchar(5), primary key (id));
-- rows
insert into t (id, b, c) values (1, 1, 'x'), (2, 2, 'y');
-- while copying
update t set b = 5, c = 'zz' where id = 2; insert into t (id, b, c) values (3, null, null);
