-- The awkward half of the schema that the classic move is shown on: 33 tables, each with a type, a key or a name that
-- has bitten a data move before. It holds definitions and rows, and the procedure `churn`, which keeps changing every one
-- of these tables. The other tables are sysbench's and the ledger's own. It names no schema: load it into an
-- empty one. Its code belongs to the account shop_code@'%', which must be there; a definer with READ_ONLY ADMIN would let the
-- service write past read_only.

set names utf8mb4;
set sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO';
set time_zone = '+00:00';

-- Names -----------------------------------------------------------------------------------------------------------------

create table `order` (
    `key` int unsigned not null auto_increment,
    `select` varchar(20) not null,
    `group` int not null default 0,
    `from` datetime not null default current_timestamp,
    `a``b` varchar(10) default 'it''s',
    primary key (`key`),
    key `index` (`group`, `select`)
) engine = InnoDB comment = 'every name is a reserved word; one holds a backtick';

create table `odd name-1` (
    `the id` int not null,
    `100%` decimal(5, 2) not null,
    `naïve` varchar(20) character set utf8mb4 default null,
    primary key (`the id`)
) engine = InnoDB;

create table CamelCase (
    Id int not null,
    id_2 int not null,
    primary key (Id, id_2)
) engine = InnoDB;

-- Keys ------------------------------------------------------------------------------------------------------------------

create table composite_key (
    region char(2) character set ascii not null,
    day date not null,
    slot smallint not null,
    worth int not null,
    primary key (slot, region, day)
) engine = InnoDB comment = 'the key is in another order than the columns';

create table enum_key (
    state enum('new', 'paid', 'shipped', 'lost') not null,
    number int not null,
    worth int,
    primary key (state, number)
) engine = InnoDB;

create table folded_key (
    name varchar(40) character set utf8mb4 collate utf8mb4_general_ci not null,
    worth int not null,
    primary key (name)
) engine = InnoDB comment = 'A and a are one key; trailing spaces do not count';

create table moment_key (
    at datetime(3) not null,
    worth int not null,
    primary key (at)
) engine = InnoDB;

create table binary_key (
    id binary(8) not null,
    worth int not null,
    primary key (id)
) engine = InnoDB comment = 'keys end in zero bytes';

create table uuid_key (
    id uuid not null default uuid(),
    four inet4 default null,
    six inet6 default null,
    primary key (id)
) engine = InnoDB;

create table biggest_id (
    id bigint unsigned not null,
    small bigint not null,
    primary key (id)
) engine = InnoDB;

create table zero_id (
    id int not null auto_increment,
    worth varchar(10) not null,
    primary key (id)
) engine = InnoDB comment = 'has a row 0, a row -1, and has handed out ids that are gone';

create table nulls_in_unique (
    id int not null,
    a int default null,
    b varchar(10) default null,
    primary key (id),
    unique key a_b (a, b)
) engine = InnoDB;

create table swapped_unique (
    id int not null,
    place int not null,
    primary key (id),
    unique key place (place)
) engine = InnoDB comment = 'two rows swap a unique value inside one transaction';

-- Types -----------------------------------------------------------------------------------------------------------------

create table bits (
    id int not null,
    one bit(1) not null,
    some bit(17) default null,
    most bit(64) not null,
    primary key (id)
) engine = InnoDB;

create table exact_number (
    id int not null,
    price decimal(30, 10) not null,
    longest decimal(65, 30) not null,
    unsigned_one decimal(10, 0) unsigned zerofill not null,
    primary key (id)
) engine = InnoDB;

create table floating_number (
    id int not null,
    f float not null,
    d double not null,
    narrow float(7, 3) not null,
    primary key (id)
) engine = InnoDB;

create table zero_date (
    id int not null,
    d date not null default '0000-00-00',
    dt datetime not null default '0000-00-00 00:00:00',
    ts timestamp not null default '0000-00-00 00:00:00',
    partial date not null,
    primary key (id)
) engine = InnoDB;

create table moment (
    id int not null,
    dt datetime(6) not null,
    ts timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    t time(6) not null,
    y year not null,
    primary key (id)
) engine = InnoDB comment = 'microseconds, times beyond a day and below zero, hours that daylight saving repeats';

create table enum_and_set (
    id int not null,
    e enum('', 'one', 'two,three') not null,
    s set('read', 'write', '', 'own') not null,
    primary key (id)
) engine = InnoDB comment = 'an enum with an empty member beside the error value 0';

create table all_bytes (
    id int not null,
    fixed binary(16) not null,
    short varbinary(300) not null,
    tiny tinyblob not null,
    long_one mediumblob not null,
    words mediumtext character set utf8mb4 not null,
    primary key (id)
) engine = InnoDB;

create table old_charset (
    id int not null,
    western varchar(300) character set latin1 not null,
    chinese varchar(20) character set gbk not null,
    plain varchar(20) character set utf8mb3 not null,
    primary key (id)
) engine = InnoDB default charset = latin1;

create table emoji (
    id int not null,
    face varchar(20) character set utf8mb4 collate utf8mb4_bin not null,
    words text character set utf8mb4 collate utf8mb4_unicode_ci,
    primary key (id)
) engine = InnoDB;

create table empty_or_null (
    id int not null,
    a varchar(10) default null,
    b text default null,
    c int default null,
    primary key (id)
) engine = InnoDB;

create table document (
    id int not null,
    body json not null,
    primary key (id)
) engine = InnoDB;

create table shape (
    id int not null,
    place point not null,
    area polygon default null,
    primary key (id),
    spatial key place (place)
) engine = InnoDB;

-- Structure -------------------------------------------------------------------------------------------------------------

create table generated (
    id int not null auto_increment,
    net decimal(12, 2) not null,
    gross decimal(14, 4) as (net * 1.19) stored,
    label varchar(40) as (concat('no. ', net)) virtual,
    hidden int invisible not null default 7,
    primary key (id),
    key label (label)
) engine = InnoDB;

create table checked (
    id int not null,
    low int not null,
    high int not null,
    note varchar(80) default (concat('made ', 'so')),
    primary key (id),
    constraint low_first check (low <= high)
) engine = InnoDB row_format = compressed key_block_size = 8;

create table by_year (
    id int not null,
    day date not null,
    worth int not null,
    primary key (id, day)
) engine = InnoDB
partition by range (year(day)) (
    partition before_2020 values less than (2020),
    partition before_2025 values less than (2025),
    partition later values less than maxvalue
);

create table by_hash (
    id bigint not null,
    worth varchar(40) not null,
    primary key (id)
) engine = InnoDB
partition by hash (id) partitions 5;

create table searched (
    id int not null auto_increment,
    title varchar(80) not null,
    body text not null,
    primary key (id),
    fulltext key words (title, body)
) engine = InnoDB;

create table a_child (
    id int not null auto_increment,
    parent int not null,
    worth int not null,
    primary key (id),
    key parent (parent)
) engine = InnoDB comment = 'sorts before the table that it refers to';

create table parent (
    id int not null auto_increment,
    above int default null,
    name varchar(20) not null,
    primary key (id),
    constraint parent_above foreign key (above) references parent (id)
) engine = InnoDB comment = 'refers to itself';

alter table a_child add constraint child_parent foreign key (parent) references parent (id);

create table order_history (
    id bigint not null auto_increment,
    `key` int unsigned not null,
    what varchar(20) not null,
    at timestamp(6) not null default current_timestamp(6),
    primary key (id)
) engine = InnoDB comment = 'written by the triggers of `order`';

-- Code ------------------------------------------------------------------------------------------------------------------

create definer = shop_code@'%' sql security definer view open_orders as select `key`, `select` as what, `group` from `order` where `group` > 0;
create definer = shop_code@'%' sql security definer view order_sizes as select `group`, count(*) as orders from open_orders group by `group`;

delimiter //
create definer = shop_code@'%' function gross_of(net decimal(12, 2)) returns decimal(14, 4) deterministic return net * 1.19//
create definer = shop_code@'%' trigger order_made after insert on `order` for each row
    insert into order_history (`key`, what) values (new.`key`, 'made')//
create definer = shop_code@'%' trigger order_gone after delete on `order` for each row
    insert into order_history (`key`, what) values (old.`key`, 'gone')//

-- One round of changes in every awkward table, each a short transaction of its own.
create definer = shop_code@'%' procedure churn(n int)
begin
    declare exit handler for sqlexception begin rollback; resignal; end;
    set @sql_mode_before = @@sql_mode, sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO';
    start transaction;
    insert into `order` (`select`, `group`, `a``b`) values (concat('churn ', n), n mod 9, '`');
    delete from `order` where `key` = (select oldest from (select min(`key`) as oldest from `order`) o);
    update `odd name-1` set `100%` = (n mod 90000) / 100 where `the id` = n mod 50;
    update CamelCase set id_2 = id_2 + 1 where Id = n mod 40 order by id_2 desc;
    commit;
    start transaction;
    update composite_key set slot = slot + 1000 where worth = n mod 200 and slot < 20000;
    update enum_key set number = number + 1000, state = if(state = 'new', 'paid', 'new') where worth = n mod 200 and state in ('new', 'paid');
    update folded_key set name = if(binary name = binary lower(name), upper(name), lower(name)) where worth = n mod 60;
    update moment_key set at = at + interval 1000 microsecond where worth = n mod 100 order by at desc;
    update binary_key set id = concat(left(id, 4), reverse(substr(id, 5, 2)), '\0\0') where worth = n mod 60;
    replace into uuid_key (id, four, six) values (concat('00000000-0000-4000-8000-', lpad(hex(n mod 97), 12, '0')), '10.0.0.1', '::1');
    update biggest_id set small = if(small > 0, small - 1, small + 1) where id >= 18446744073709551000;
    insert into zero_id (worth) values (concat('n', n mod 1000));
    delete from zero_id where id = (select newest from (select max(id) as newest from zero_id) z);
    commit;
    start transaction;
    update nulls_in_unique set a = if(a is null, id, null) where id = n mod 60;
    update swapped_unique set place = -1 where id = 1;
    set @one = (select place from swapped_unique where id = 2);
    update swapped_unique set place = -2 where id = 2;
    update swapped_unique set place = @one where id = 1;
    update swapped_unique set place = 3 - @one where id = 2;
    update bits set most = most ^ 1, some = n mod 131072 where id = n mod 60;
    update exact_number set price = price + 0.0000000001 where id = n mod 60;
    update floating_number set f = -f, d = d * 1.0000001 where id = n mod 60;
    update zero_date set d = if(d = '0000-00-00', '2024-02-29', '0000-00-00') where id = n mod 10;
    update moment set t = subtime('00:00:00', t) where id = n mod 60;
    update enum_and_set set e = n mod 4, s = n mod 16 where id = n mod 60;
    commit;
    start transaction;
    update all_bytes set tiny = reverse(tiny), words = concat(left(words, 200), n) where id = n mod 20;
    update old_charset set western = reverse(western) where id = n mod 20;
    update emoji set face = if(face = '🧗', '🏔️', '🧗') where id = n mod 60;
    update empty_or_null set a = case when a is null then '' when a = '' then 'NULL' else null end where id = n mod 60;
    update document set body = json_set(body, '$.n', n) where id = n mod 60;
    update shape set place = point(n mod 180, -(n mod 90)) where id = n mod 60;
    update generated set net = net + 0.01 where id = 1 + n mod 60;
    update checked set low = low - 1 where id = n mod 60;
    update by_year set day = if(year(day) < 2020, day + interval 10 year, day - interval 10 year) where id = n mod 200;
    insert into by_hash values (1000000 + n, 'churn') on duplicate key update worth = 'again';
    insert into searched (title, body) values (concat('churn ', n), 'words that nobody looks for');
    insert into a_child (parent, worth) select min(id) + n mod 10, n from parent;
    commit;
    set sql_mode = @sql_mode_before;
end//
delimiter ;

-- Rows ------------------------------------------------------------------------------------------------------------------

insert into `order` (`select`, `group`, `a``b`) select concat('order ', seq), seq mod 7, if(seq mod 3, null, 'x\\y"z') from seq_1_to_2000;
insert into `odd name-1` select seq, seq / 7, if(seq mod 2, 'façade', null) from seq_0_to_200;
insert into CamelCase select seq mod 40, seq from seq_1_to_400;

insert into composite_key select elt(1 + seq mod 4, 'DE', 'FR', 'NO', 'IS'), '2024-01-01' + interval seq day, seq mod 30, seq from seq_0_to_900;
insert into enum_key select 1 + seq mod 4, seq div 4, seq from seq_0_to_800;
insert into folded_key select concat(char(97 + seq mod 26), '-', seq), seq from seq_0_to_300;
insert into folded_key values ('straße', 900), ('Ångström', 901), ('ends in spaces  ', 902), ('', 903);
insert into moment_key select '2024-03-31 01:59:59.500' + interval seq * 10 second, seq from seq_0_to_300;
insert into binary_key select concat(unhex(lpad(hex(seq * 2654435 mod 4294967296), 8, '0')), unhex(lpad(hex(seq), 4, '0')), '\0\0'), seq from seq_1_to_300;
insert into binary_key values ('\0\0\0\0\0\0\0\0', 900), ('a\0\0\0\0\0\0\0', 901), ('a \0\0\0\0\0\0', 902);
insert into uuid_key select concat('12345678-1234-4234-8234-', lpad(hex(seq), 12, '0')), concat('192.0.2.', seq mod 256), concat('2001:db8::', hex(seq)) from seq_1_to_300;
insert into uuid_key values ('ffffffff-ffff-ffff-ffff-ffffffffffff', null, null), ('00000000-0000-0000-0000-000000000000', '0.0.0.0', '::');
insert into biggest_id select seq, -cast(seq as signed) from seq_0_to_200;
insert into biggest_id values (18446744073709551615, -9223372036854775808), (18446744073709551614, 9223372036854775807), (9223372036854775808, 0);
insert into zero_id values (0, 'zero'), (-1, 'minus one');
insert into zero_id select seq, 'row' from seq_1_to_300;
delete from zero_id where id > 250;
insert into nulls_in_unique select seq, if(seq mod 3, seq, null), if(seq mod 5, 'b', null) from seq_0_to_300;
insert into swapped_unique values (1, 1), (2, 2);
insert into swapped_unique select seq, seq * 10 from seq_3_to_100;

insert into bits select seq, seq mod 2, if(seq mod 4, seq * 97 mod 131072, null), 18446744073709551615 - seq from seq_0_to_300;
insert into exact_number select seq, seq * 1234567890.0123456789, cast(seq as signed) / -3, seq from seq_0_to_300;
insert into exact_number values (900, 99999999999999999999.9999999999, -99999999999999999999999999999999999.999999999999999999999999999999, 4294967295);
insert into floating_number select seq, seq / 3, seq / 7, seq / 11 from seq_0_to_300;
insert into floating_number values (900, -0e0, -0e0, 0), (901, 3.402823e38, 1.7976931348623157e308, -9999.999), (902, 1.17549e-38, 2.2250738585072014e-308, 0.001), (903, 16777217, 0.1, 0.1);
insert into zero_date select seq, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2024-00-00' from seq_0_to_9;
insert into zero_date select seq, '1000-01-01' + interval seq * 1000 day, '9999-12-31 23:59:59', '2038-01-19 03:14:07', '2024-02-00' from seq_10_to_300;
insert into moment select seq, '2024-10-27 00:59:59.999999' + interval seq minute, '2024-10-27 00:59:59.000001' + interval seq minute, sec_to_time(cast(seq as signed) * 997 - 100000), 1901 + seq mod 250 from seq_0_to_300;
insert into moment values (900, '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01.000001', '838:59:59.999999', 2155), (901, '0000-00-00 00:00:00', '2038-01-19 03:14:07.999999', '-838:59:59.999999', 0000);
insert into enum_and_set select seq, seq mod 4, seq div 3 mod 16 from seq_0_to_300;
insert into all_bytes
    select seq, unhex(concat('00FF', lpad(hex(seq), 4, '0'), repeat('00', 12))),
        unhex((select group_concat(lpad(hex(b.seq), 2, '0') order by b.seq separator '') from seq_0_to_255 b)),
        unhex(repeat(lpad(hex(seq mod 256), 2, '0'), 200)), repeat(unhex('00275C0A0D1A22FF'), seq * 40), repeat(concat('tab\tquote\'back\\slash\nzero\0', seq), 20)
    from seq_0_to_60;
insert into old_charset select seq, convert(unhex((select group_concat(lpad(hex(b.seq), 2, '0') order by b.seq separator '') from seq_128_to_255 b)) using latin1), '高山', 'Grüße' from seq_0_to_200;
insert into emoji select seq, if(seq mod 2, '🧗', '👨‍👩‍👧‍👦'), concat('𝔭𝔦𝔱𝔬𝔫 ', seq, ' é é') from seq_0_to_300;
insert into empty_or_null select seq, elt(1 + seq mod 4, null, '', 'NULL', ' '), elt(1 + seq mod 3, null, '', 'null'), if(seq mod 2, null, 0) from seq_0_to_300;
insert into document select seq, concat('{"n": ', seq, ', "big": 18446744073709551615, "tiny": 1e-7, "text": "\\u00e9 \\ud83e\\uddd7 \\"q\\"", "none": null, "list": [1, 1.0, true]}') from seq_0_to_300;
insert into document values (900, '[]'), (901, '"only text"'), (902, '  { "spaced" :   1 }  ');
insert into shape select seq, point(seq, 0 - cast(seq as signed)), if(seq mod 2, null, st_geomfromtext('polygon((0 0, 0 9, 9 9, 9 0, 0 0), (1 1, 1 2, 2 2, 1 1))')) from seq_0_to_300;

insert into generated (net, hidden) select seq / 3, seq mod 11 from seq_1_to_300;
insert into checked (id, low, high) select seq, 0 - cast(seq as signed), seq from seq_0_to_300;
insert into by_year select seq, '2015-06-01' + interval seq * 9 day, seq from seq_0_to_900;
insert into by_hash select seq * 7919, concat('row ', seq) from seq_0_to_900;
insert into searched (title, body) select concat('title ', seq), repeat(concat('word', seq, ' '), 30) from seq_1_to_200;
insert into parent (above, name) values (null, 'root');
insert into parent (above, name) select 1, concat('node ', seq) from seq_2_to_200;
insert into a_child (parent, worth) select 1 + seq mod 200, seq from seq_1_to_900;
