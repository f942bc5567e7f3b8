# sqlite3: ten thousand rows, joins, indexes, transactions, the write-ahead log, vacuum, dump.
cd /tmp || exit 1
sqlite3 tour.db <<'S'
create table item (id integer primary key, name text not null, weight real, kind int references kind(id));
create table kind (id integer primary key, name text unique);
insert into kind values (0, 'zero'), (1, 'one'), (2, 'two'), (3, 'three');
with recursive n(x) as (select 1 union all select x + 1 from n where x < 10000) insert into item select x, printf('item %05d', x * 7919 % 10007), x / 7.0, x % 4 from n;
select count(*), sum(id), round(total(weight), 6), max(name) from item;
select kind.name, count(*), round(avg(weight), 6) from item join kind on kind.id = item.kind group by 1 order by 1;
create index by_name on item(name);
explain query plan select * from item where name = 'item 00042';
select * from item where name = 'item 00042';
begin; delete from item where id % 3 = 0; select changes(); rollback; select count(*) from item;
begin; update item set weight = weight * 2 where kind = 1; savepoint s; delete from item; rollback to s; commit; select round(total(weight), 4) from item;
select a.id, b.id from item a join item b on a.id = b.kind * 2500 + 1 and b.id < 5 order by 1, 2;
select name, row_number() over (partition by kind order by weight desc) r from item order by r, name limit 4;
with recursive fib(a, b, n) as (select 0, 1, 0 union all select b, a + b, n + 1 from fib where n < 50) select max(a) from fib;
select json_extract('{"a":[1,{"b":2}]}', '$.a[1].b'), upper(hex('az')), strftime('%Y-%j', 86400 * 59, 'unixepoch'), group_concat(name) from kind;
insert into item values (1, 'again', 0, 0);
delete from item where id > 100; vacuum; pragma integrity_check; pragma page_count;
pragma journal_mode = wal; insert into kind values (9, 'nine'); pragma wal_checkpoint(truncate); pragma journal_mode = delete; pragma mmap_size = 1000000; select count(*) from item;
.dump kind
.mode csv
select * from kind;
S
echo "status $?"; stat -c '%s' tour.db; ls tour.db*; sha256sum < tour.db | head -c 0
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 20000' tour.db "with recursive n(x) as (select 1 union all select x + 1 from n where x < 500) insert into kind select x * 10 + $i + 100, null from n" & done; wait
sqlite3 tour.db 'select count(*), sum(id) from kind; pragma integrity_check'; sqlite3 tour.db 'select nothing'; echo "status $?"; sqlite3 -readonly tour.db 'delete from kind'; echo "status $?"
sqlite3 :memory: 'create virtual table t using fts5(x); insert into t values (\"quick brown fox\"), (\"lazy dog\")' 2>&1; seq 1000 | sed 's/$/,x/' > in.csv; sqlite3 t2.db '.mode csv' 'create table c(a,b)' '.import in.csv c' 'select sum(a) from c' '.backup copy.db'; sqlite3 copy.db 'select count(*) from c'; rm -f tour.db t2.db copy.db in.csv
