-- What makes the move small: of the awkward tables only relations, a trigger's and the most awkward keys and types stay,
-- and the procedure that changes them changes these.

drop table composite_key, enum_key, folded_key, moment_key, binary_key, uuid_key, biggest_id, zero_id, nulls_in_unique,
    swapped_unique, bits, exact_number, floating_number, moment, enum_and_set, all_bytes, old_charset, emoji, empty_or_null,
    document, shape, checked, by_year, by_hash, searched;

delimiter //
create or replace definer = shop_code@'%' procedure churn(n int)
begin
    declare exit handler for sqlexception begin rollback; resignal; end;
    set @sql_mode_before = @@sql_mode, sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO';
    start transaction;
    insert into `order` (`select`, `group`, `a``b`) values (concat('churn ', n), n mod 9, '`');
    delete from `order` where `key` = (select oldest from (select min(`key`) as oldest from `order`) o);
    update `odd name-1` set `100%` = (n mod 90000) / 100 where `the id` = n mod 50;
    update CamelCase set id_2 = id_2 + 1 where Id = n mod 40 order by id_2 desc;
    update zero_date set d = if(d = '0000-00-00', '2024-02-29', '0000-00-00') where id = n mod 10;
    commit;
    set sql_mode = @sql_mode_before;
end//
delimiter ;
