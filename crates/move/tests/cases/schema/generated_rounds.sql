-- covers: Schema: generated columns
-- verdict: equal
create table t (id int primary key, net decimal(12, 4) not null, vat decimal(4, 2) not null, gross decimal(14, 4) as (net * (1 + vat / 100)) stored);
-- rows
insert into t (id, net, vat) values (1, 0.0769, 19), (2, 9.9999, 7.77);
-- while copying
insert into t (id, net, vat) values (3, 0.0003, 19); update t set net = net + 0.0001 where id = 1;
-- while copying
update t set vat = 7.01; delete from t where id = 2;
