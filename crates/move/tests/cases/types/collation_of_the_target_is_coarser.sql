-- covers: TiDB: collations
-- verdict: refused: takes values for equal
create table t (id int primary key, u varchar(10) collate utf8mb4_bin, unique key (u));
-- on the target
create table t (id int primary key, u varchar(10) collate utf8mb4_general_ci, unique key (u));
-- while copying
insert into t values (1, 'a'), (2, 'A');
