-- covers: Types: SET
-- verdict: equal
create table t (id int primary key, s set('a','b','c'), l set('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19','20','21','22','23','24','25','26','27','28','29','30','31','32','33'));
-- rows
insert into t values (1, 'a,c', 8589934591), (2, '', 4294967296), (3, 7, 0), (4, null, null);
-- while copying
update t set s = 'b', l = 1 where id < 3; insert into t values (5, 'c,a', '33,1');
