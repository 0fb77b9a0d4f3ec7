-- covers: Types: UUID
-- verdict: equal
-- tidb: refused: TiDB has no type uuid
create table t (id int primary key, u uuid);
-- on tidb
create table t (id int primary key, u char(36));
-- rows
insert into t values (1, '123e4567-e89b-12d3-a456-426655440000'), (2, '00000000-0000-0000-0000-000000000000'), (3, '320c3d4d-cc00-875b-8ec9-32d5f69181c0');
-- while copying
update t set u = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f' where id = 2; insert into t values (4, '1ec9414c-232a-6b00-b3c8-9e6bdeced846'), (5, null);
