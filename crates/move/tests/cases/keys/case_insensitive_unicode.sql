-- covers: Keys: case-insensitive varchar
-- verdict: equal
-- 'ss' equals 'ß' here.
create table t (id varchar(20) collate utf8mb4_unicode_ci primary key, n int);
-- rows
insert into t values ('strasse', 1), ('eins', 2), ('zwei', 3);
-- while copying
update t set id = 'straße' where id = 'strasse';
-- while copying
delete from t where id = 'strasse'; insert into t values ('STRASSE', 4); update t set id = 'Zweí' where id = 'zwei';
