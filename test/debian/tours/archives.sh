# tar, gzip, xz, zstd: round trips of a tree and of large data; what they say about damaged archives.
export LC_ALL=C TZ=UTC
mkdir -p /tmp/arc/tree/deep/er && cd /tmp/arc || exit 1
seq 1 50000 > tree/numbers; head -c 3000000 /dev/zero > tree/zeros; cp -r /usr/share/perl5 tree/perl 2>/dev/null; ln -s numbers tree/soft; ln tree/numbers tree/hard; mkfifo tree/fifo; mknod tree/null c 1 3; truncate -s 10M tree/sparse; echo secret > tree/deep/er/file; chmod 4711 tree/deep/er/file; chown 33:44 tree/deep/er/file; chmod 1777 tree/deep
find tree -exec touch -h -d '2020-02-02 02:02:02.5' {} +
sum() { (cd "$1" && find . -printf '%P %y %m %U:%G %T@ %l %n ' -type f -exec sha256sum {} \; -o -printf '%P %y %m %U:%G %T@ %l\n' | sort | sha256sum); }
sum tree
for kind in '' z J '-zstd'; do
    rm -rf out; mkdir out
    case $kind in -*) option=-$kind ;; '') option= ;; *) option=-$kind ;; esac
    tar $option -S --sort=name --format=pax -cpf a.tar tree && tar -C out -xpf a.tar; echo "status $?"; sum out/tree; tar -tf a.tar | wc -l; tar -df a.tar; echo "status $?"
done
tar -cf a.tar --sort=name tree; stat -c %s a.tar; tar -tvf a.tar --full-time | grep -v perl; tar -rf a.tar -C / etc/passwd; tar -uf a.tar tree/numbers; tar --delete -f a.tar tree/zeros; tar -tf a.tar | tail -3; tar -xOf a.tar etc/passwd | head -1; tar -cf - tree | tar -xf - -C out --strip-components=1 tree/deep; ls out
tar -cf inc.tar -g snap tree/deep; echo new > tree/deep/new; tar -cf inc2.tar -g snap tree/deep; tar -tf inc2.tar; tar -xf /dev/null; echo "status $?"; head -c 10000 a.tar | tar -xf - -C out 2>&1 | tail -2; tar -cML 1000 -f v1 -f v2 -f v3 -f v4 tree/zeros; ls v?
for tool in gzip xz zstd; do
    for level in 1 9; do $tool -$level -c tree/numbers > c; $tool -dc c | cmp - tree/numbers && echo "$tool -$level $(stat -c %s c)"; done
    $tool -t c; echo "status $?"; head -c 1000 c > cut; $tool -dc cut > /dev/null 2>cut.err; echo "status $? $(wc -l < cut.err)"; cat tree/numbers | $tool | $tool -d | md5sum
    cp tree/zeros z; $tool -k z; ls z*; rm -f z z.*
done
gzip -l c; gzip -cn tree/numbers > a.gz; gzip -lv a.gz | awk '{print $7, $8}'; zcat a.gz | tail -1; zgrep -c 77 a.gz; xz -T2 --block-size=100KiB -kc tree/numbers > x.xz; xz -lv x.xz | grep -c 'CRC64'; xz -dc x.xz | md5sum; zstd -q -12 -kc tree/numbers | zstd -dc | md5sum; zstd -q -T2 -kc tree/zeros | wc -c; zstd -q --train tree/perl/*/*.pm tree/perl/*/*/*.pm -o dict --maxdict=2000 >/dev/null 2>&1; zstd -q -b1 -i0 /dev/null >/dev/null 2>&1; unxz < x.xz | wc -c; xzcat x.xz | wc -l
find tree | sort | cpio -o -H newc 2>/dev/null | wc -c; printf 'PK' | gzip -dc; echo "status $?"; rm -rf /tmp/arc
