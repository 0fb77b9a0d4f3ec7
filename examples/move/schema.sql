-- The service that the move is shown on: a shop of 26 tables, beside sysbench's and the ledger's own. Both MariaDB and TiDB hold it. It names
-- no schema: load it into an empty one. What changes it all the while stands in changes.sql.

set names utf8mb4;
set time_zone = '+00:00';

-- People ----------------------------------------------------------------------------------------------------------------

create table customers (
    id bigint unsigned not null auto_increment,
    email varchar(120) collate utf8mb4_general_ci not null,
    name varchar(80) not null,
    born date default null,
    locale char(5) character set ascii collate ascii_bin not null default 'en_US',
    created timestamp(6) not null default current_timestamp(6),
    primary key (id),
    unique key email (email),
    key born (born)
) engine = InnoDB comment = 'A@x and a@x are one customer';

create table addresses (
    id bigint unsigned not null auto_increment,
    customer bigint unsigned not null,
    street varchar(120) not null,
    city varchar(60) not null,
    country char(2) character set ascii collate ascii_bin not null,
    place decimal(9, 6) default null,
    primary key (id),
    key customer (customer),
    key city (country, city),
    constraint address_customer foreign key (customer) references customers (id)
) engine = InnoDB;

create table logins (
    id binary(16) not null,
    customer bigint unsigned not null,
    seen datetime(3) not null,
    address varbinary(16) not null,
    primary key (id),
    key customer_seen (customer, seen)
) engine = InnoDB comment = 'keys are bytes, some of them end in zeros';

create table preferences (
    customer bigint unsigned not null,
    name varchar(40) collate utf8mb4_bin not null,
    value varchar(200) default null,
    primary key (customer, name)
) engine = InnoDB;

create table points (
    customer bigint unsigned not null,
    balance decimal(20, 4) not null default 0,
    changed timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    primary key (customer),
    constraint points_not_below_zero check (balance >= 0)
) engine = InnoDB;

-- Goods -----------------------------------------------------------------------------------------------------------------

create table categories (
    id int unsigned not null auto_increment,
    above int unsigned default null,
    name varchar(60) not null,
    primary key (id),
    key above (above),
    constraint category_above foreign key (above) references categories (id)
) engine = InnoDB comment = 'refers to itself';

create table products (
    id bigint unsigned not null auto_increment,
    category int unsigned not null,
    code varchar(20) character set ascii collate ascii_bin not null,
    title varchar(120) not null,
    kind enum('thing', 'file', 'voucher') not null default 'thing',
    flags set('new', 'sale', 'heavy', 'fragile') not null default '',
    weight float default null,
    description mediumtext,
    primary key (id),
    unique key code (code),
    key category (category),
    key title (title(30)),
    constraint product_category foreign key (category) references categories (id)
) engine = InnoDB;

create table prices (
    product bigint unsigned not null,
    currency char(3) character set ascii collate ascii_bin not null,
    since date not null,
    net decimal(12, 4) not null,
    vat decimal(4, 2) not null,
    gross decimal(14, 4) as (net * (1 + vat / 100)) stored,
    primary key (product, currency, since),
    key gross (gross)
) engine = InnoDB comment = 'has a column that is computed';

create table translations (
    product bigint unsigned not null,
    locale char(5) character set ascii collate ascii_bin not null,
    title varchar(200) collate utf8mb4_unicode_ci not null,
    words text collate utf8mb4_unicode_ci,
    primary key (product, locale)
) engine = InnoDB;

create table pictures (
    product bigint unsigned not null,
    place tinyint unsigned not null,
    checksum binary(8) not null,
    bytes mediumblob not null,
    primary key (product, place),
    key checksum (checksum)
) engine = InnoDB;

create table tags (
    id int unsigned not null auto_increment,
    name varchar(40) collate utf8mb4_bin not null,
    primary key (id),
    unique key name (name)
) engine = InnoDB;

create table product_tags (
    product bigint unsigned not null,
    tag int unsigned not null,
    primary key (product, tag),
    key tag (tag)
) engine = InnoDB comment = 'every column is its key';

create table reviews (
    id bigint unsigned not null auto_increment,
    product bigint unsigned not null,
    customer bigint unsigned not null,
    stars tinyint not null,
    words text,
    primary key (id),
    unique key once (product, customer),
    key customer (customer),
    constraint stars_between check (stars between 1 and 5)
) engine = InnoDB;

-- Stock -----------------------------------------------------------------------------------------------------------------

create table warehouses (
    id smallint unsigned not null auto_increment,
    code char(4) character set ascii collate ascii_bin not null,
    name varchar(60) character set latin1 collate latin1_bin not null,
    primary key (id),
    unique key code (code)
) engine = InnoDB;

create table stock (
    warehouse smallint unsigned not null,
    product bigint unsigned not null,
    pieces int not null,
    primary key (warehouse, product),
    key product (product)
) engine = InnoDB;

create table shelves (
    id int not null,
    warehouse smallint unsigned not null,
    place int not null,
    primary key (id),
    unique key place (warehouse, place)
) engine = InnoDB comment = 'two of them swap their places inside one transaction';

-- Orders ----------------------------------------------------------------------------------------------------------------

create table `order` (
    id bigint unsigned not null auto_increment,
    customer bigint unsigned not null,
    address bigint unsigned not null,
    state enum('new', 'paid', 'sent', 'done', 'gone') not null default 'new',
    `key` char(12) character set ascii collate ascii_bin not null,
    placed datetime(6) not null,
    total decimal(16, 4) not null,
    primary key (id),
    unique key `key` (`key`),
    key customer_placed (customer, placed),
    key state (state)
) engine = InnoDB comment = 'its name is a reserved word';

create table order_lines (
    `order` bigint unsigned not null,
    line smallint unsigned not null,
    product bigint unsigned not null,
    pieces int not null,
    price decimal(14, 4) not null,
    primary key (`order`, line),
    key product (product),
    constraint line_order foreign key (`order`) references `order` (id),
    constraint pieces_above_zero check (pieces > 0)
) engine = InnoDB;

create table carts (
    customer bigint unsigned not null,
    body longtext collate utf8mb4_bin not null,
    changed datetime(3) not null,
    primary key (customer),
    constraint body_is_json check (json_valid(body))
) engine = InnoDB;

create table coupons (
    code varchar(20) collate utf8mb4_general_ci not null,
    percent tinyint unsigned not null,
    valid_until datetime default null,
    used int unsigned not null default 0,
    primary key (code)
) engine = InnoDB comment = 'Summer and SUMMER are one coupon';

create table payments (
    id bigint unsigned not null auto_increment,
    `order` bigint unsigned not null,
    method varchar(20) not null,
    amount decimal(16, 4) not null,
    paid timestamp(6) null default null,
    primary key (id),
    key `order` (`order`)
) engine = InnoDB;

create table refunds (
    payment bigint unsigned not null,
    number tinyint unsigned not null,
    amount decimal(16, 4) not null,
    reason varchar(200) default null,
    primary key (payment, number)
) engine = InnoDB;

create table shipments (
    id bigint unsigned not null auto_increment,
    `order` bigint unsigned not null,
    carrier varchar(20) not null,
    left_at datetime default null,
    took time default null,
    primary key (id),
    key `order` (`order`),
    key carrier_left (carrier, left_at)
) engine = InnoDB;

create table invoices (
    year smallint unsigned not null,
    number int unsigned not null,
    `order` bigint unsigned not null,
    document json not null,
    primary key (year, number),
    unique key `order` (`order`)
) engine = InnoDB;

-- The house -------------------------------------------------------------------------------------------------------------

create table settings (
    name varchar(60) collate utf8mb4_bin not null,
    value longtext default null,
    bits bit(20) default null,
    primary key (name)
) engine = InnoDB;

create table visits (
    day date not null,
    page varchar(60) collate utf8mb4_bin not null,
    hits bigint unsigned not null,
    primary key (day, page)
) engine = InnoDB
partition by range columns (day) (
    partition until_2025 values less than ('2025-01-01'),
    partition until_2026 values less than ('2026-01-01'),
    partition later values less than (maxvalue)
);

-- Rows ------------------------------------------------------------------------------------------------------------------

insert into customers (email, name, born, created)
    select concat('Person', seq, '@example.org'), elt(1 + seq mod 4, 'Grüße', 'Ada', '高山', 'Zoë 🧗'), '1950-01-01' + interval seq day,
        '2024-03-31 00:59:59.999999' + interval seq minute from seq_1_to_8000;
insert into addresses (customer, street, city, country, place)
    select 1 + seq mod 8000, concat('Street "', seq, '"\\n'), elt(1 + seq mod 3, 'Köln', 'Oslo', 'O''Fallon'), elt(1 + seq mod 3, 'DE', 'NO', 'US'), seq / 997 from seq_1_to_9000;
insert into logins select unhex(concat(lpad(hex(seq * 7919), 16, '0'), lpad(hex(seq), 12, '0'), '0000')), 1 + seq mod 8000, '2026-01-01' + interval seq second, unhex(lpad(hex(seq), 8, '0')) from seq_1_to_12000;
insert into preferences select 1 + seq div 3, concat('p', seq mod 3), elt(1 + seq mod 4, null, '', 'NULL', ' x ') from seq_0_to_9000;
insert into points (customer, balance) select seq, seq / 7 from seq_1_to_8000;
insert into categories (above, name) values (null, 'all');
insert into categories (above, name) select 1, concat('category ', seq) from seq_2_to_60;
insert into products (category, code, title, kind, flags, weight, description)
    select 1 + seq mod 60, concat('P-', lpad(seq, 6, '0')), concat('Product ', seq), 1 + seq mod 3, seq mod 16, if(seq mod 5, seq / 8, null), repeat(concat('words ', seq, ' '), 20) from seq_1_to_4000;
insert into prices (product, currency, since, net, vat) select 1 + seq mod 4000, elt(1 + seq mod 2, 'EUR', 'NOK'), '2024-01-01' + interval (seq div 4000) day, seq / 13, 19 from seq_1_to_9000;
insert into translations select 1 + seq mod 4000, elt(1 + seq mod 3, 'de_DE', 'nb_NO', 'zh_CN'), concat('标题 ', seq), if(seq mod 6, concat('Wörter ', seq), null) from seq_1_to_9000;
insert into pictures select seq, seq mod 3, unhex(lpad(hex(seq * 65537), 16, '0')), repeat(unhex('00275C0A0D1A22FF'), 60) from seq_1_to_3000;
insert into tags (name) select concat(if(seq mod 2, 'Tag ', 'tag '), seq div 2) from seq_1_to_200;
insert into product_tags select 1 + seq mod 4000, 1 + seq mod 199 from seq_1_to_9000;
insert into reviews (product, customer, stars, words) select 1 + seq mod 4000, 1 + seq mod 7999, 1 + seq mod 5, if(seq mod 4, repeat('good ', seq mod 20), null) from seq_1_to_9000;
insert into warehouses (code, name) select concat('W', lpad(seq, 3, '0')), concat('Lager München ', seq) from seq_1_to_9;
insert into stock select 1 + seq mod 9, 1 + seq div 9, seq mod 100 from seq_0_to_12000;
insert into shelves select seq, 1 + seq mod 9, seq from seq_1_to_500;
insert into `order` (customer, address, state, `key`, placed, total)
    select 1 + seq mod 8000, 1 + seq mod 9000, 1 + seq mod 5, concat('K', lpad(seq, 9, '0')), '2026-01-01' + interval seq * 1000003 microsecond, seq / 3 from seq_1_to_9000;
insert into order_lines select 1 + seq mod 9000, 1 + seq div 9000, 1 + seq mod 4000, 1 + seq mod 9, seq / 17 from seq_0_to_17999;
insert into carts select seq, concat('{"items": [', seq, ', 18446744073709551615, 1e-7], "note": "\\u00e9"}'), '2026-01-01' + interval seq second from seq_1_to_3000;
insert into coupons (code, percent, valid_until) select concat('Summer', seq), seq mod 90, if(seq mod 3, '2026-12-31 23:59:59', null) from seq_1_to_400;
insert into payments (`order`, method, amount, paid) select seq, elt(1 + seq mod 2, 'card', 'invoice'), seq / 3, if(seq mod 4, '2026-02-01' + interval seq second, null) from seq_1_to_9000;
insert into refunds select seq * 3, 1, seq / 5, elt(1 + seq mod 2, null, 'came broken') from seq_1_to_1500;
insert into shipments (`order`, carrier, left_at, took) select seq, elt(1 + seq mod 3, 'post', 'bike', 'own'), '2026-02-01' + interval seq minute, sec_to_time(seq * 37 mod 800000) from seq_1_to_9000;
insert into invoices select 2024 + seq mod 3, seq, seq, json_object('number', seq, 'lines', json_array(seq, seq / 2)) from seq_1_to_8000;
insert into settings values ('empty', '', b'0'), ('none', null, null), ('long', repeat('x', 70000), b'11111111111111111111');
insert into settings select concat('setting ', seq), seq, seq from seq_1_to_300;
insert into visits select '2024-06-01' + interval seq mod 900 day, concat('/page/', seq div 900), seq from seq_0_to_9000;
