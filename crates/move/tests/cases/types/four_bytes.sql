-- covers: Types: four-byte characters
-- verdict: equal
create table t (id varchar(10) collate utf8mb4_unicode_ci primary key, v text, c char(3));
-- rows
insert into t values ('😀', '😀😀', '😀😀😀'), ('a', 'ä', 'é'), ('z', '', '');
-- while copying
update t set v = concat(v, '🎉'); insert into t values ('ab', repeat('😀', 1000), '𝄞');
-- while copying
update t set id = 'z🎉' where id = 'z';
