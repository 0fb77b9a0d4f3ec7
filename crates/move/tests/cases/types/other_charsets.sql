-- covers: TiDB: charsets
-- verdict: equal
-- tidb: refused: TiDB has no character set
create table t (id int primary key, a varchar(20) character set utf16, b varchar(20) character set ucs2, c varchar(20) character set cp1251, d varchar(20) character set latin2);
-- on tidb
create table t (id int primary key, a varchar(20), b varchar(20), c varchar(20), d varchar(20));
-- rows
insert into t values (1, 'aä😀', 'aä', 'Ж', 'ł'), (2, '', '', '', '');
-- while copying
update t set a = '😀', b = 'ä', c = 'жук', d = 'ő' where id = 2; insert into t values (3, 'x', 'y', 'z', null);
