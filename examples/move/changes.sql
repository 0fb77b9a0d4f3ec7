-- What keeps changing every table of the shop while it moves: one transaction a paragraph, `{n}` counts up.

insert into customers (email, name) values ('new{n}@example.org', 'New 🏔️');
update customers set email = concat(upper(left(email, 1)), substring(email, 2)), born = born + interval 1 day where id = 1 + {n} mod 8000;
update addresses set city = if(city = 'Oslo', 'OSLO', 'Oslo'), place = place + 0.000001 where id = 1 + {n} mod 9000;
update points set balance = balance + 0.0001 where customer = 1 + {n} mod 8000;

replace into logins values (unhex(concat(lpad(hex({n}), 28, '0'), '0000')), 1 + {n} mod 8000, now(3), '::1');
delete from logins where customer = 1 + {n} mod 8000 order by seen limit 1;
insert into preferences values (9000 + {n} mod 500, 'theme', 'dark') on duplicate key update value = if(value = 'dark', 'light', 'dark');

update products set title = concat('Product {n}'), flags = {n} mod 16, kind = 1 + {n} mod 3, weight = -weight where id = 1 + {n} mod 4000;
update prices set net = net + 0.0001 where product = 1 + {n} mod 4000;
update translations set words = concat('Wörter {n} é') where product = 1 + {n} mod 4000 and locale = 'de_DE';
update pictures set bytes = reverse(bytes), place = place + 3 where product = 1 + {n} mod 3000 and place < 200;
update categories set name = concat('category {n}') where id = 2 + {n} mod 50;

insert into tags (name) values ('made {n}');
delete from product_tags where product = 1 + {n} mod 4000 limit 1;
insert into product_tags values (1 + {n} mod 4000, 300 + {n} mod 1000) on duplicate key update tag = tag;
update reviews set stars = 1 + {n} mod 5, words = '{n}' where id = 1 + {n} mod 9000;

update stock set pieces = pieces - 1 where warehouse = 1 + {n} mod 9 and product = 1 + {n} mod 1300;
update warehouses set name = concat('Lager Köln ', {n} mod 100) where id = 1 + {n} mod 9;
update shelves set place = -1 where id = 9;
update shelves set place = -2 where id = 18;
update shelves set place = 9 + 9 * ({n} mod 2) where id = 9;
update shelves set place = 18 - 9 * ({n} mod 2) where id = 18;

insert into `order` (customer, address, `key`, placed, total) values (1 + {n} mod 8000, 1, concat('N{n}'), now(6), {n} / 7);
insert into order_lines values (last_insert_id(), 1, 1 + {n} mod 4000, 1, 9.99), (last_insert_id(), 2, 2 + {n} mod 4000, 2, 1);
insert into payments (`order`, method, amount) values (last_insert_id(), 'card', {n} / 7);

update `order` set state = 1 + {n} mod 5, total = total + 0.0001 where id = 1 + {n} mod 9000;
update order_lines set pieces = pieces + 1 where `order` = 1 + {n} mod 9000;
update payments set paid = now(6) where id = 1 + {n} mod 9000;
insert into refunds values (5 + {n} mod 9000, 200, 1, 'late') on duplicate key update amount = amount + 1;
update shipments set took = sec_to_time({n} mod 3000000), left_at = left_at + interval 1 second where id = 1 + {n} mod 9000;
update invoices set document = json_set(document, '$.changed', {n}) where number = 1 + {n} mod 8000;

update carts set body = json_set(body, '$.n', {n}), changed = now(3) where customer = 1 + {n} mod 3000;
update coupons set used = used + 1, code = if(binary code = binary lower(code), upper(code), lower(code)) where code = concat('summer', 1 + {n} mod 400);
update settings set value = '{n}', bits = {n} mod 1048576 where name = concat('setting ', 1 + {n} mod 300);
insert into visits values ('2026-11-22', '/page/now', 1) on duplicate key update hits = hits + 1;
update visits set day = if(day < '2026-01-01', day + interval 3 year, day - interval 3 year) where page = '/page/1' and hits = 900 + {n} mod 900;
