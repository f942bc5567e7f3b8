# A tour of coreutils and findutils in a folder of its own: what they print about files, text and numbers.
export LC_ALL=C TZ=UTC
set -u
mkdir -p /tmp/tour/a/b/c /tmp/tour/d && cd /tmp/tour || exit 1
umask 022

# files of every kind, their attributes
printf 'one\ntwo\nthree\n' > text
seq 1 1000 > numbers
truncate -s 3G sparse
ln text hard; ln -s text soft; ln -s /no/such dangling
mkfifo fifo; mknod null c 1 3
chmod 4751 hard; chmod u-s,g+s hard; chown 12:34 d; chgrp 56 numbers
touch -d '2001-02-03 04:05:06.123456789 UTC' text numbers d
touch -r text -m a; touch -h -d '2002-01-01 UTC' soft
stat -c '%n %F %a %u:%g %h %s %b' text numbers hard soft dangling fifo d sparse
stat -c '%n %t,%T %F' null
stat -c '%n %Y %y' text numbers d
stat -c '%n %Y' -L soft
ls -ln --time-style=full-iso text numbers soft hard
ls -laR --time-style=+ . | sed 's/^total.*//; s/ [0-9]* \.\.$/ x ../' | awk '{ $5 = ($1 ~ /^d/) ? "-" : $5; print }'
ls -1F; ls -m; ls -x -w 40; ls -Q; ls -S text numbers; ls -i text hard | awk '{ print $1 == last; last = $1 }'
readlink soft; readlink -f soft; readlink -e dangling; echo "status $?"; realpath a/../text; realpath --relative-to=a/b text
du -b --apparent-size numbers text; du -s --apparent-size -B1 sparse; du -k sparse
test -p fifo && test -c null && test -L soft && test -g hard && test text -ef hard && echo tests
[ numbers -nt soft ]; echo "$?"; [ text -ot soft ]; echo "$?"

# copies, moves, removals
cp -a a a2; cp -p text text2; cp --preserve=all -r d d2; cp -l text text3; cp -s /tmp/tour/text text4; cp --sparse=always sparse sparse2
stat -c '%n %Y %a %h' text2 text3; stat -c '%n %b' sparse2; readlink text4
cp text d && cp -n numbers d/text && cat d/text; cp -b text d && ls d; cp nothing d; echo "status $?"
mv text2 d/moved; mv -n numbers d/moved; mv -T a2 a3; ls d a3; mv d/moved /dev/shm/moved && cat /dev/shm/moved && rm /dev/shm/moved
install -m 640 -o 1 -g 2 -D text deep/er/still; stat -c '%a %u %g' deep/er/still
rm text4; rmdir a; echo "status $?"; rm -r a3; rm nothing; echo "status $?"; rm -rf d2 deep; unlink fifo; link numbers more; rm sparse sparse2
dd if=numbers of=copy bs=100 skip=3 count=5 seek=2 conv=notrunc status=none; od -An -c copy | head -20; dd if=/dev/zero bs=1M count=3 2>/dev/null | wc -c
truncate -s 10 copy; wc -c < copy; truncate -s +5 copy; wc -c < copy; fallocate -l 8192 alloc; stat -c '%s %b' alloc; shred -u alloc; ls alloc
mktemp -u XXXX | wc -c; mktemp -d /tmp/tour/tXXXXXX | sed 's/.\{6\}$//'; rmdir t??????
sync text; chmod -R go-rwx d; stat -c %a d/text; chroot / /bin/echo in chroot; mkdir -p -m 700 m/n; stat -c '%n %a' m m/n

# text
cat -A text; tac text; nl -ba text; rev text; fold -w 3 text; fmt -w 10 text; pr -t -2 text; expand -t 4 <<T
a	b	c
T
head -n 2 text; head -c 5 text; echo; tail -n 2 text; tail -c +3 text; split -n l/3 -d numbers part; wc part0?; cat part0? | cmp - numbers; csplit -s -z numbers 100 500; wc -l xx*
sort -rn numbers | head -3; sort -t: -k3n /etc/passwd | head -4; printf 'b 2\na 1\nb 1\n' | sort -k1,1 -k2n | uniq -c -w1; shuf -i 1-9 --random-source=numbers | tr '\n' ' '; echo
sort -S 64k -T /tmp numbers | md5sum; sort -u --parallel=1 /etc/passwd /etc/passwd | wc -l; printf '1.5K\n2M\n3\n' | sort -h
cut -d: -f1,7 /etc/passwd | head -3; paste -d+ -s text; paste text numbers | head -3; join -t: -o 1.1,2.3 /etc/passwd /etc/passwd 2>/dev/null | head -2; comm -12 text hard; tr a-z A-Z < text; tr -d aeiou < text; tr -s '\n' ' ' < text; echo
uniq -d text; tsort <<T
a b
b c
a c
T
printf '%5.2f|%-5s|%05d|%x|%q\n' 3.14159 ab 42 255 "a b"; echo -e 'tab\there\x41'; seq -s, -w 8 11; seq 1 .5 3; factor 1234567890 97; numfmt --to=iec 123456789; numfmt --from=si 1.5M; expr 3 \* 7 + 1; expr match hello 'h\(.*\)o'
md5sum numbers; sha1sum numbers; sha224sum text; sha256sum numbers; sha384sum text; sha512sum numbers; b2sum numbers; cksum numbers; sum numbers; sha256sum numbers > sums; sha256sum -c sums
base64 text; base64 text | base64 -d | cmp - text; base32 text; basenc --base16 text; od -t x1 text; od -t d2 -N 8 text; ptx -G text | head -3

# the system and processes
basename /a/b.c .c; dirname /a/b.c; pathchk -p 'a:b'; echo "status $?"; pwd -P; id; id -u daemon; groups daemon; whoami; logname 2>&1; tty; uname -s -m -o; arch; nproc --ignore=100
env -i A=1 B=2 /usr/bin/env; printenv HOME; nice -n 5 nice; nohup sh -c 'echo nohup' 2>/dev/null; timeout 0.2 sleep 10; echo "status $?"; timeout -s KILL 0.2 sleep 10; echo "status $?"; timeout 5 true && echo true
date -d '2024-02-29 12:34:56 UTC +1 year' '+%F %T %j %a %s'; date -d @86400 -Ins; date -r text +%s; sleep 0.01; stdbuf -oL echo line; tee one two < text > /dev/null; cat one two | wc -l; yes | head -n 100000 | md5sum; kill -l 9; kill -l TERM; sh -c 'kill -9 $$'; echo "status $?"; true; false; echo "$?"
df --output=fstype /tmp /proc | tail -2; stty -a < /dev/null; echo "status $?"; mkfifo p; (cat p & echo through > p; wait); users; test -t 0; echo "$?"; dircolors -b | md5sum; hostid | wc -c

# findutils
mkdir -p f/x/y f/z && touch -d '2000-01-01 UTC' f/old && touch f/x/1 f/x/y/2 'f/z/with space' && ln -s ../old f/x/link && chmod 600 f/x/1
find f | sort; find f -type f -name '[0-9]' -printf '%p %m %s %d %f %h\n' | sort; find f -newer f/old -type f | sort; find f -mtime +1000; find f -type l -printf '%p -> %l %Y\n'; find -L f -type f | sort
find f -maxdepth 1 -mindepth 1 | sort; find f -depth -name y -exec ls {} \; ; find f -name z -execdir echo {} \; ; find f -type f -exec grep -c . {} + | sort; find f -empty | sort; find f -perm 600 -o -perm -o+x -type d | sort; find f -name y -prune -o -print | sort
find f -type f -print0 | sort -z | xargs -0 -n 2 echo; seq 1 20 | xargs -n 6 -P 1 echo; echo a b c | xargs -I{} echo '<{}>'; seq 3 | xargs -P 3 -I{} sh -c 'exit {}'; echo "status $?"; find f -name '*' -delete; ls f; echo "status $?"; find / -xdev -maxdepth 1 -type d | sort; find /usr/bin -name 'xz*' | sort; find /proc/self -maxdepth 1 -name 'st*' | sort
cd / && rm -rf /tmp/tour
