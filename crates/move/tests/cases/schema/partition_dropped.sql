-- covers: Schema: DDL in mid-copy; Schema: partitions
-- verdict: halted: names schema_partition_dropped.t
create table t (id int primary key, n int) partition by range (id) (partition p0 values less than (10), partition p1 values less than (20));
-- rows
insert into t values (1, 1), (11, 2);
-- while copying
alter table t drop partition p0;
