# A tour through busybox: every line of output must be the same on Linux and on Linnet. Run by `busybox sh tour.sh` in an empty folder,
# as root, with nothing but busybox applets in PATH. Anything that differs between two machines by right (pids, times, sizes of
# disks) is kept out of the output.
LC_ALL=C; export LC_ALL
TZ=UTC; export TZ
umask 022
t() { echo "== $*"; "$@"; echo "-> $?"; }

# ---- text ----
printf 'banana\napple\ncherry\napple\n10\n9\n' > words
seq 1 20 > nums
t cat words; t cat -n words; t tac words; t rev words; t nl words
t sort words; t sort -u words; t sort -n words; t sort -r words; t sort -k1.2 words
t uniq words; sort words | t uniq -c; sort words | t uniq -d
t head -n 3 nums; t tail -n 3 nums; t head -c 10 nums; t tail -c 5 nums; t tail -n +18 nums
t wc words; t wc -l nums; t wc -c nums; t wc -w words
t cut -c 2-4 words; printf 'a:b:c\n1:2:3\n' > table; t cut -d: -f 2 table; t cut -d: -f 1,3 table
t paste words nums; t paste -s words; t fold -w 3 words; t expand table; printf 'a\tb\n' | t expand -t 4; printf 'a       b\n' | t unexpand -a
t tr a-z A-Z < words; t tr -d an < words; t tr -s p < words
t grep an words; t grep -c apple words; t grep -v a words; t grep -n 'e$' words; t grep -i APPLE words; t grep -o 'an' words; t grep -x apple words; t grep -q zzz words
t egrep 'a(n|p)' words; t fgrep . words; t grep -E '^[0-9]+$' words
t sed s/a/A/ words; t sed -n 2,3p words; t sed 's/\(.\)\(.\)/\2\1/' words; t sed '/apple/d' words; t sed -e '1i\
first' -e '$a\
last' words; t sed y/abc/xyz/ words; cp words w2; t sed -i s/apple/pear/g w2; t cat w2
t awk '{print NR, $1, length($1)}' words; t awk -F: '{s+=$2} END {print s}' table; t awk 'BEGIN{for(i=0;i<5;i++) printf "%d %x %s\n", i*i, i+10, "x"}'
t awk 'BEGIN{print substr("hello",2,3), index("hello","l"), toupper("abc"), 2^10, 7%3, int(3.9)}'; t awk 'BEGIN{a["x"]=1; a["y"]=2; n=0; for(k in a) n+=a[k]; print n}'
t ts < /dev/null; t shuf -n 0 words; t shuf -i 5-5; t strings words; t seq 3; t seq 2 3 11; t seq -w 8 11; t yes < /dev/null | head -n 2
t dos2unix words; t unix2dos w2; t od -c w2; t od -x words; t hexdump -C words; t xxd words; t xxd -p words; printf '6869' | t xxd -r -p; echo
t cmp words words; t cmp words nums; t diff words w2; t diff -u words words; diff -u words nums > p1; t cat p1 > /dev/null; t patch words p1; t cat words; cp w2 words
t printf '%s %d %x %o %c %5.2f|%-5s|%05d\n' str 42 255 8 c 3.14159 ab 7; t printf '\101\x42\n'; t echo -e 'a\tb\\n'; t echo -n x; echo
t tee copy < words; t cat copy; t factor 360 97 1001; t expr 3 + 4 '*' 2; t expr abc : 'a\(.*\)'; t expr length hello; t bc <<EOF
scale=4
10/3
2^20
sqrt(2)
EOF
echo '5 3 + p' | t dc; t cal 9 2024; t base64 words; base64 words | t base64 -d; t uuencode x < words; uuencode out < words > uu; t uudecode uu; t cat out
t md5sum words; t sha1sum words; t sha256sum words; t sha512sum words; t sha3sum words; t crc32 words; sha256sum words > sums; t sha256sum -c sums
t ascii | head -n 2; t fold -s -w 10 words; 

# ---- files ----
mkdir -p d/e/f; t ls d; t mkdir d; t mkdir -p d/e/f/g; t rmdir d/e/f/g; t rmdir d/e; t touch d/x d/y; t ls -1 d; t ls -a d; t ls -F d; t ls -R d
t cp words d/w; t cp -r d d2; t ls -R d2; t mv d2/x d2/z; t ls d2; t ln d/w d/hard; t ln -s w d/soft; t readlink d/soft; t cat d/soft; t ls -i d/w > /dev/null
t stat -c '%n %s %a %F %h %U %G' d/w d/soft; t stat -c '%n %a %F %h' d; t chmod 640 d/w; t stat -c %a d/w; t chmod u+x,g-r d/w; t stat -c %a d/w; t chown 1000:1000 d/w; t stat -c '%u %g' d/w; t chgrp 5 d/w; t stat -c %g d/w
t find d | sort; t find d -type f -name 'w*'; t find d -type l; t find . -name soft -exec basename {} \;; find d -perm 710 | t sort; find d -print0 | t xargs -0 -n 1 basename | sort
t du -s d > /dev/null; t basename /a/b/c.txt .txt; t dirname /a/b/c.txt; t realpath d/../d/./e | sed "s|$PWD|.|"; t readlink -f d/soft | sed "s|$PWD|.|"
t mktemp -u tmp.XXXXXX | wc -c; t truncate -s 5000 big; t wc -c big; t fallocate -l 100 fa; t wc -c fa; t dd if=/dev/zero of=z bs=1k count=3 2> /dev/null; t wc -c z; t dd if=nums bs=1 skip=3 count=4 2> /dev/null; 
t mkfifo fifo; t stat -c %F fifo; (cat fifo > from_fifo &); echo through > fifo; sleep 0.2; t cat from_fifo; t mknod nul c 1 3; t stat -c '%F %t %T' nul; echo x > nul; t cat nul
t touch -d '2020-01-02 03:04:05' d/x; t stat -c %y d/x; t date -r d/x '+%Y-%m-%d %H:%M:%S'; t date -u -d @0; t date -d '2024-02-29 12:00' +%j; t test -f words; t test -d words; touch -d '2020-01-01' nums; t test words -nt nums; t test -x d/w; t [ 1 -lt 2 ]; t [ a = b ]
t unlink d/hard; t link d/x d/x2; t rm d/x2; t rm nowhere; t rm -f nowhere; t rm -r d2; t ls d2; t shred -n 1 -u fa; t ls fa; t sync; t setsid true; t nohup true 2> /dev/null; t cp -a d d3; t ls -l d3/soft | cut -c 1-10; t mv d3 d/d3; t ls d/d3 | wc -l; t which sh > /dev/null

# ---- archives ----
t tar cf a.tar d words; tar tf a.tar | t sort; mkdir x; t tar xf a.tar -C x; t cat x/words; t diff -r d x/d; t tar czf a.tgz words; t tar xzOf a.tgz words; t gzip -k words; t gunzip -c words.gz; t zcat words.gz; gzip -c < nums > n.gz; t gzip -d n.gz; t cat n
t bzip2 -k words; t bzcat words.bz2; t bunzip2 -c words.bz2; t xzcat words.xz; t lzma -h > /dev/null 2>&1; find d | sort | t cpio -o -H newc > a.cpio 2> /dev/null; t cpio -t < a.cpio 2> /dev/null; mkdir y; (cd y && t cpio -id < ../a.cpio 2> /dev/null); t ls -R y; t unzip -l words > /dev/null 2>&1; t compress -h > /dev/null 2>&1

# ---- processes and identity ----
t true; t false; t id; t id -u; t whoami; t groups; t logname > /dev/null 2>&1; t uname -s > /dev/null; t uname -m; t nproc > /dev/null; t hostname > /dev/null; t arch; t tty < /dev/null; t env -i A=b env; t pwd > /dev/null
t sleep 0.01; t usleep 1000; t timeout 1 true; t timeout 0.2 sleep 5; renice -n 3 -p $$ > /dev/null; t time true 2> /dev/null; t kill -l 9; t kill -l | head -n 3
sleep 100 & kill $!; wait $! 2> /dev/null; echo "wait $?"; t pidof nothing; t start-stop-daemon -K -x /nowhere > /dev/null 2>&1; t chroot / /bin/busybox echo in; t chroot /nowhere true; t setpriv --nnp echo np; t xargs echo < words; t seq 5 | xargs -n 2 echo; t taskset 1 true; t getopt ab:c -a -b x -- y; t ipcalc -n 10.1.2.3/24; t mkpasswd -m md5 -S abcdefgh pw; mkdir rp; t run-parts rp; t which nothing_here; t who > /dev/null; t ps > /dev/null; t free > /dev/null; t uptime > /dev/null; t dmesg > /dev/null; t mount > /dev/null; t top -b -n 1 > /dev/null; t watch -h > /dev/null 2>&1; t less -V > /dev/null 2>&1; t more words < /dev/null; t clear > /dev/null; t reset < /dev/null > /dev/null; t stty < /dev/null 2> /dev/null; t hostid > /dev/null; t last > /dev/null 2>&1; t w > /dev/null; t lsmod > /dev/null 2>&1; t rpm -h > /dev/null 2>&1

# ---- the shell ----
f() { echo "f:$#:$*"; return 3; }; f a 'b c'; echo $?
x=hello; echo ${x#h} ${x%o} ${x##*l} ${x%%l*} ${#x} ${y:-def} ${y:=set} $y ${x:+alt} ${x:1:3} ${x/l/L} ${x//l/L}
echo $((3 + 4 * 2)) $((1 << 10)) $((0xff)) $((017)) $((7 / 2)) $((-7 % 3)) $((5 > 3 && 2 > 1)) $((a = 5, a * 2)) $((~0)) $((1 ? 10 : 20))
for i in 1 2 3; do [ $i = 2 ] && continue; echo i$i; done; i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && break; done; echo $i; until [ $i -gt 4 ]; do i=$((i + 1)); done; echo $i
case abc in a*) echo starts;; *) echo no;; esac; case x in [0-9]) echo digit;; ?) echo one;; esac
echo $(echo nested $(echo deeper)) `echo old`; set -- one two three; echo $# $1 $3; shift; echo $*; echo "$@"; set -- a "b c"; for w in "$@"; do echo "<$w>"; done
cat <<EOF
here $x $((1 + 1))
EOF
cat <<'EOF'
raw $x
EOF
cat <<-EOF
	tabs gone
EOF
(exit 7); echo $?; true && echo and; false || echo or; ! true; echo $?; { echo group; } | cat; (x=sub; echo $x); echo $x
trap 'echo trapped' EXIT; (trap 'echo inner' EXIT; exit 0); trap - EXIT; trap 'echo usr1' USR1; kill -USR1 $$; trap - USR1
sleep 0.1 & wait; echo waited $?; (sleep 0.05; exit 9) & wait $!; echo $?; set -m; sleep 0.1 & fg %1 > /dev/null; echo fg $?; set +m
echo a b c | { read p q; echo "$p|$q"; }; IFS=: read a b c < table; echo "$a-$b-$c"; while read -r line; do echo "[$line]"; done < table
echo err >&2 2> /dev/null; echo both > o1 2>&1; exec 5> o5; echo five >&5; exec 5>&-; cat o5; echo app >> o5; cat < o5; ls nowhere 2> /dev/null || echo failed; echo *.tar d/e*; echo "*" \* '*'; echo ~root > /dev/null
alias ll='echo aliased'; type cd > /dev/null; command -v echo; eval 'echo ev $x'; unset x; echo "${x-unset}"; readonly R=1; (R=2) 2> /dev/null || echo ro; export E=env; sh -c 'echo $E'; sh -c 'exit 300'; echo $?; sh -c 'kill -9 $$'; echo $?
getopts ab: o -a -b v; echo $o; local_test() { local v=in; echo $v; }; v=out; local_test; echo $v; printf '%s\n' {a,b}; let z=4+5; echo $z; test -t 0; echo $?; ulimit -n > /dev/null; umask; times > /dev/null; hash > /dev/null; jobs; cd /; pwd; cd - > /dev/null
seq 1 1000 | sort -rn | head -n 500 | tail -n 1; yes | head -c 100000 | md5sum; seq 1 5000 | while read n; do :; done; echo n; dd if=/dev/zero bs=64k count=16 2> /dev/null | sha1sum; seq 1 3 | tee c1 c2 | cat - c1 2> /dev/null | wc -l
i=0; while [ $i -lt 50 ]; do (exit $i) & i=$((i + 1)); done; wait; echo all; vi -h > /dev/null 2>&1; echo done
