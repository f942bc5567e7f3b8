# ---- more tools: archives that busybox reads but does not write come as base64 ----
# p FILTER COMMAND...: like t, for output that holds something of this machine; FILTER keeps what must be the same.
p() { filter=$1; shift; echo "== $*"; { "$@" 2>&1; echo "-> $?"; } | eval "$filter"; }
b() { echo "$2" | base64 -d > "$1"; }
numbers="sed -E 's/[0-9]+/N/g'"
mkdir tools; cd tools; seq 1 5 > five; printf 'one two\nthree\n' > text
b a.xz /Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4AAjABNdADgYSJnNXBwlQqhuu2USPw5OQAAAAC8EF1wAASskk6z1apBCmQ0BAAAAAAFZWg==
b a.lzma XQAABAD//////////wA4GEiZzVwcJUKobrtlEj8VrRD///yI8AA=
b a.zip UEsDBBQAAAAIAIMYIlAvBBdcEQAAACQAAAAKAAAAaW4vemlwLnR4dCtITM5OTVEoSa0o4SrAwQYAUEsBAhQDFAAAAAgAgxgiUC8EF1wRAAAAJAAAAAoAAAAAAAAAAAAAAKQBAAAAAGluL3ppcC50eHRQSwUGAAAAAAEAAQA4AAAAOQAAAAAA
b a.Z H52QcMKMWVOGDAg6ZfDQURBwYMGDCRc2JGgQoUIF
b a.rpm 7avu2wMAAAAAAXRvdXItMS0xAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABAAUAAAAAAAAAAAAAAAAAAAAAjq3oAQAAAAAAAAABAAAABAAAA+gAAAAEAAAAAAAAAAEAAAAAAAAAAI6t6AEAAAAAAAAACAAAACgAAAPoAAAABgAAAAAAAAABAAAD6QAAAAYAAAAFAAAAAQAAA+oAAAAGAAAACQAAAAEAAAPsAAAACQAAAAsAAAABAAAD8QAAAAQAAAAUAAAAAQAABFwAAAAEAAAAGAAAAAEAAARdAAAACAAAABwAAAABAAAEXgAAAAgAAAAlAAAAAXRvdXIAMS4wADEAQSBwYXJjZWwAAAAAJAAAAABmcm9tLnJwbQAuLwAfiwgAAAAAAAIDMzA3MDcwNIAAMG1h6GhigB0YonKNcKlDB04whp5+WlF+rl5RQS4DEBQkJmenpiiUpFaUcOFiGyC7jxAgVh1O94UEOXr6uAYpKiqC3AcAlNq2RRwBAAA=
t xz -dc a.xz; t xzcat a.xz; cp a.xz b.xz; t unxz b.xz; t cat b; t unxz -c text; t lzma -dc a.lzma; t lzcat a.lzma; cp a.lzma c.lzma; t unlzma c.lzma; t cat c; t xz -t a.xz; t uncompress -c a.Z; t zcat a.Z; t gunzip -t a.Z
t unzip -l a.zip; t unzip -p a.zip; t unzip -q a.zip; t cat in/zip.txt; t stat -c '%a %s' in/zip.txt; t unzip -t a.zip; t unzip text
t lzop -k text; t lzop -dc text.lzo; p 'head -c 4 | xxd' lzop -c text; t lzop -t text.lzo; t lzop -dc a.Z
rpm2cpio a.rpm > rpm.cpio; t cpio -t -F rpm.cpio; p 'md5sum' rpm2cpio a.rpm; t rpm -qpl a.rpm; t rpm -qpi a.rpm; mkdir rx; (cd rx; rpm -i ../a.rpm 2> /dev/null); t rpm2cpio text
mkdir -p pkg/usr/share/x pkg-control; echo data > pkg/usr/share/x/data; printf 'Package: tour\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: a parcel\n for the tour\n' > pkg-control/control
echo 2.0 > debian-binary; (cd pkg-control; tar cf - ./control) | gzip > control.tar.gz; (cd pkg; tar cf - ./usr) | gzip > data.tar.gz; member() { printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' "$1" 0 0 0 100644 $(wc -c < "$1"); cat "$1"; [ $(($(wc -c < "$1") % 2)) = 0 ] || echo; }; { printf '!<arch>\n'; for m in debian-binary control.tar.gz data.tar.gz; do member $m; done; } > tour.deb; t ar t tour.deb; t dpkg-deb -f tour.deb; mkdir dx; t dpkg-deb -x tour.deb dx; t find dx; t cat dx/usr/share/x/data; p "awk '{print \$1, \$6}'" dpkg-deb -c tour.deb; t dpkg-deb -e tour.deb dc; t cat dc/control; t ar p tour.deb debian-binary; t dpkg-deb -x text dx
t tar -tf rpm.cpio; tar cf - text | p "sed 's/ .* / .. /'" tar tvf -; tar czf t.tgz text five; t tar -xzOf t.tgz five; t tar tzf t.tgz; t tar cf x.tar five text; t tar tf x.tar; t tar xf x.tar -C dx five; t cat dx/five

t ed text <<'EOF'
1,2p
2s/three/four/
,p
1a
between
.
1,$p
3d
w out
q
EOF
t cat out; t ed nowhere < /dev/null
t vi -c ':%s/t/T/' -c ':wq' text < /dev/null; t cat text; t less text; t more text; t clear; t reset < /dev/null; t stty < /dev/null; printf '\004\001ab' > odd; t cat -v odd; t cat -A text; t ash -c 'echo $0 $1' name arg; t sh -c 'echo $-'; t busybox echo through; t busybox nothing_here; t [[ ab = ab ]]; t pwd -P | sed 's|.*/work||'
t httpd -e '<a&b>'; echo; t httpd -d 'a%20b+c'; echo; p 'cut -c 1-3' httpd -m pw; t diff text five; sort five > s1; printf '2\n4\n6\n' > s2; t seq 1 2 > partaa; seq 3 4 > partab; seq 5 5 > partac; t nl -b a text; t tac five; t expand -i text; t paste -d , s1 s2; t rev text; t sort -t, -k2 -n s1; t timeout -s INT 0.1 sleep 3; t bc -l <<'EOF'
s(1)
for (i = 0; i < 3; i++) i^2
define f(x) { return x * 2; }
f(21)
obase=16
255
EOF
t dc -e '10 k 2 v p [hello] p 16 o 255 p'; t mkpasswd -m sha512 -S abcdefgh pw; t awk -f /dev/stdin text <<'EOF'
function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) }
{ words += NF; gsub(/o/, "0"); print }
END { print f(15), words; while (("echo a b" | getline line) > 0) print "got " line; split("x,y,z", parts, ","); print parts[2]; printf "%s\n", sprintf("%03d", 7); "pwd" | getline d; print (d != ""); print tolower("ABC") > "awk.out"; close("awk.out"); system("cat awk.out") }
EOF
t sed -n '/one/,$p;$=' text; t sed -E 's/(o)(n)?/<\1\2>/g' text; t sed -e ':a;N;$!ba;s/\n/+/g' five; t sed 'y/ot/OT/;2q' five; t sed -n 'h;G;p' text; t sed 'w sedout' text; t cat sedout; t sed '2!d' five; t sed '0~2d' five; t sed '1~2s/^/x/' five; p sort grep -rl one .; t grep -A1 -n 2 five; t grep -B1 -c 4 five; t grep -w One text; t grep -f s2 five; t grep -L zzz five text; t find . -name 'part*' -size -2 -newer nothing; p sort find . -maxdepth 1 -type d; p sort find . -name 'part*' -exec wc -c {} +; t find . -name partac -delete; p sort find . -name 'parta?' -o -name s1; t xargs -I @ echo '<@>' < five; t xargs -n2 -t echo < five; seq 3 | t xargs -P 2 -n 1 true; t cut -c1 --complement text; t tr '[:lower:]' '[:upper:]' < text; t tr -c 'a-z\n' _ < text; t fold -w 3 text; t unexpand -a text; t setpriv --reuid 1000 --regid 1000 --clear-groups id; t su -s /bin/sh -c 'id -u' root

# ---- disks in a file, the machine, errors ----
dd if=/dev/zero of=disk bs=1k count=4096 2> /dev/null; printf 'n\np\n1\n\n\nw\n' | t fdisk -C 16 -H 16 -S 32 disk; t fdisk -l disk; p "sed 's/volumeID:.*,/volumeID,/'" mkdosfs -v disk; p "sed '/UUID/s/=.*//'" mkswap disk; p "sed 's/Filesystem UUID.*//'" mke2fs -n disk; t dd if=disk bs=1 skip=4086 count=10; echo
t dd if=five of=out bs=2 seek=3 count=2 conv=notrunc; t od -c out; p 'head -n 1' df -P .; t df nowhere; p 'cut -f 2' du -k five; t du nowhere; p 'wc -c' mktemp -u x.XXXXXX; p 'wc -c' hostid; p "awk '{print \$1}'" free; p 'wc -w' nproc; p 'wc -l' hostname; t uname -s; t uname -o; t uname -z; p 'cut -c 11-12' uptime; p 'head -n 1' w; p 'head -n 1' who -H; t sysctl -n kernel.ostype; t sysctl nothing.here; p "grep '^proc on /proc type proc'  | cut -d ' ' -f 1-5" mount; p "cut -c 1-4 | head -n 4" top -b -n 1; p 'tail -n 2' timeout 1 watch -n 10 echo hi; p "sed 's/[: ].*//'" sh -c 'cat /proc/self/status | head -n 6'; p 'head -n 1' ps; p 'head -n 1' ps -o pid,ppid,pgid,sid,tty,stat,comm,args
head -c 8 /dev/zero > leases; t dumpleases -f leases; t ionice; t ionice -c 3 ionice; t ionice -c 2 -n 5 ionice; t linux32 uname -m; t linux64 uname -m; t linux32 sh -c 'linux64 uname -m'; t sh -c 'renice -n 1 -p $$ | cut -d: -f 2'; p "sed 's/mask: .*/mask/'" taskset -p 1; p "$numbers" taskset 1 taskset -p 0; t nologin; t fatattr five; t findfs LABEL=nothing; t freeramdisk nowhere; t fstrim nowhere; t insmod nowhere.ko; t svc -u nowhere; t svok nowhere; t umount nowhere; t blockdev --getsz five; t blockdev --getsz nowhere; t blkdiscard five; t losetup nowhere; t swapon nowhere; t partprobe nowhere; t microcom nowhere; t deallocvt 70; t run-init a b; t switch_root a b; t pivot_root nowhere nowhere; mkdir nk; touch nk/a; t nuke nk; t ls nk; t mt -f nowhere bad; t chroot . nothing; t usleep 1; t chvt x; t i2cget -y 99 0x10 0; t i2cset -y 99 0x10 0 0; t i2cdump -y 99 0x10; t hwclock -f nowhere; t depmod -n -b nowhere 1; t fsfreeze --freeze nowhere; t ifdown -i nowhere -a; t acpid -d -c nowhere -p nowhere -e nowhere; t crontab -c nowhere -l; mkdir spool; echo '* * * * * true' | t crontab -c spool -; t crontab -c spool -l; t crontab -c spool -r; t ls spool; t ipcalc -bnp 192.168.1.5/20; t hexdump -n 4 -e '4/1 "%02x " "\n"' five; t resume nowhere; t run-parts -a x nowhere; t rmdir nowhere; t mkfifo five; t ln five text; t mv nowhere x; t cp nowhere x; t chmod 999 five; t chown nobody_here five; t touch nowhere/x; t cat in; t cd nowhere; t truncate -s -1 nowhere/x; t readlink five; t rm in; t mkdir in; t rmdir in

# ---- processes: only our own, known by a name nobody else has ----
printf '#!%s/sh\nexec sleep 60 > /dev/null\n' "${PATH%%:*}" > tour_nap; printf '#!%s/sh\ntrap "exit 5" TERM\nwhile :; do sleep 1 > /dev/null; done\n' "${PATH%%:*}" > tour_loop; chmod +x tour_nap tour_loop; ln -s $PATH/busybox sleep_link
nap() { "$@" & pid=$!; sleep 0.3; }
nap ./tour_loop; p "$numbers" pidof tour_loop; p 'grep tour_loop' ps -o comm; t killall -0 tour_loop; t killall tour_loop; wait $pid; echo "loop $?"; t killall tour_loop; t killall -q tour_loop; t pidof tour_loop; t killall -l HUP
nap ./tour_loop; t kill -STOP $pid > /dev/null; sleep 0.1; awk '{print $3}' /proc/$pid/stat; p "sed 's/ *[0-9]* *//'" ps -o pid,stat,comm | grep tour_loop; kill -CONT $pid; sleep 0.1; kill -KILL $pid; wait $pid 2> /dev/null; echo "killed $?"; kill -0 $pid 2> /dev/null || echo gone; t kill -l TERM; t kill -l 15
t start-stop-daemon -S -b -m -p nap.pid -x $PWD/tour_loop; sleep 0.4; p 'sed "s/[0-9][0-9]*/N/g;s|/.*/||"' start-stop-daemon -K -t -p nap.pid; p "$numbers" wc -w nap.pid; kill $(cat nap.pid); sleep 0.3; t start-stop-daemon -K -q -p nap.pid; t start-stop-daemon -K -t -p nowhere
t setsid sh -c 'set -- $(cat /proc/self/stat); test $5 = $6 && echo leads'; t timeout 0.2 sh -c 'trap "echo TERM; exit 3" TERM; while :; do sleep 0.05; done'; t timeout -s KILL 0.2 sleep 5; t time -f %x sh -c 'exit 4'; t time -p true 2>&1 | sed 's/[0-9.]*$//'; p 'sed "s/[0-9.]*//"' time -f '%e x' true
t ts '' < five; p 'cut -d: -f 1 | sort' cat /proc/meminfo | grep -c Mem; t cat /proc/self/comm; t readlink /proc/self/exe | sed 's|.*/||'; t ls /proc/self/fd; t cat /proc/self/nothing; t sh -c 'hexdump -c /proc/$$/cmdline'; t env -i A=1 hexdump -c /proc/self/environ; t cat /proc/sys/kernel/ostype; t cat /proc/self/mounts > /dev/null; t head -n 1 /proc/self/limits; t sh -c 'cat /proc/$$/cmdline | tr "\0" " "'; cd ..
