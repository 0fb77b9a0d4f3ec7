-- covers: Types: UUID
-- verdict: equal
-- tidb: refused: TiDB has no type uuid
create table t (id uuid primary key, n int);
-- on tidb
create table t (id char(36) primary key, n int);
-- rows
insert into t values ('123e4567-e89b-12d3-a456-426655440000', 1), ('9b2e7d52-3f53-4b6e-8a8d-0242ac120002', 2), ('00000000-0000-0000-0000-000000000000', 3);
-- while copying
update t set n = 9; insert into t values ('ffffffff-ffff-ffff-ffff-ffffffffffff', 4);
-- while copying
update t set id = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f' where n = 4;
