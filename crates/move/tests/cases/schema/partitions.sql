-- covers: Schema: partitions
-- verdict: equal
create table t (id int, d date, n int, primary key (id, d)) partition by range (year(d)) (partition p0 values less than (2025), partition p1 values less than (2027), partition p2 values less than maxvalue);
-- rows
insert into t values (1, '2024-01-01', 1), (2, '2026-01-01', 2), (3, '2030-01-01', 3);
-- while copying
update t set d = '2031-01-01' where id = 1; insert into t values (4, '2024-06-06', 4);
-- while copying
update t set n = n + 1; delete from t where id = 2;
