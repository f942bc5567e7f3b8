# ---- the shell, further ----
wait; jobs > /dev/null; mkdir shell; cd shell
echo '== shell jobs'
wait; sleep 0.3 & jobs | sed 's/sleep.*//'; wait %1; echo "wait $?"; (exit 6) & wait %1; echo "wait $?"; sleep 30 & kill -STOP $!; sleep 0.1; awk '{print $3}' /proc/$!/stat; kill -CONT $!; sleep 0.1; awk '{print $3}' /proc/$!/stat; kill %1; wait %1 2> /dev/null; echo "wait $?"
sleep 30 & sleep 31 & jobs | awk '{print $1, $2}'; jobs -p | wc -l; kill %2; kill %1; wait; echo all; sh -c 'kill -STOP $$; exit 4' & sleep 0.2; kill -CONT $!; wait $!; echo $?; sleep 1 | cat & sleep 0.1; kill $!; wait $! 2> /dev/null; echo "pipes $?"
echo '== shell wait -n'
(sleep 0.4; exit 2) & (exit 3) & wait -n; echo $?; wait -n; echo $?; wait; echo $?; wait 99999; echo $?
echo '== shell traps'
trap 'echo got TERM' TERM; (sleep 0.2; kill -TERM $$) & wait; echo "wait $?"; trap - TERM; trap '' USR2; kill -USR2 $$; sh -c 'kill -USR2 $$; echo ignored is inherited'; trap - USR2; trap 'echo A' USR1; trap | grep -c USR1; (trap | wc -l); for s in 1 2 3; do kill -USR1 $$; done; trap - USR1
sh -c 'trap "echo bye; exit 7" EXIT; exit 1'; echo $?; sh -c 'trap "echo int" INT; kill -INT $$; echo after'; sh -c 'kill -ABRT $$'; echo $?; sh -c 'kill -PIPE $$'; echo $?; sh -c 'ulimit -c 0; kill -SEGV $$'; echo $?; sh -c 'trap "n=1" CHLD; (exit 3) & sleep 0.2; wait; echo $n'; (yes; echo "yes $?" >&2) 2>&1 | head -n 1; sh -c 'trap "" PIPE; echo x; sleep 0.1; echo y' 2>&1 | true; sh -c 'kill -9 $$ & wait'; echo $?
echo '== shell arithmetic'
echo $((9223372036854775807 + 1)) $((-5 / 2)) $((5 ^ 3)) $((5 | 8 & 12)) $((!0)) $((1 == 1 ? 2 : 3)) $((x = 4)) $((x += 3)) $((x <<= 2)) $((x--)) $((++x)) $((2 ** 10)) $((010 + 0x1F)); a=3; echo $((a * a - a)); (echo $((1 / 0))) 2>&1 | sed 's/.*: //'; let 'q = 3 * (2 + 1)' ; echo $q; [ $((7 & 3)) -eq 3 ] && echo bits
echo '== shell expansion'
v=/usr/lib/lib.so.6; echo ${v##*/} ${v%/*} ${v%%.*} ${v#*.} ${#v} ${v:5} ${v:5:3} ${v/lib/LIB} ${v//l/L} ${v: -2}; unset u; echo "${u-a}${u:-b}${u+c}"; u=; echo "${u-a}|${u:-b}|${u+c}|${u:+d}"; (echo ${w?is missing}) 2>&1 | sed 's/.*w: //'; set -- 'a b' c 'd  e'; for i in "$@"; do echo "<$i>"; done; for i in $*; do echo "[$i]"; done; IFS=-; echo "$*"; unset IFS; shift 2; echo $# $1; set --; echo $#
touch g1 g2 g3 'g 4' .hid; echo g* ; echo g[12]; echo g[!12]; echo .h*; echo 'g'* "g*" nomatch*; set -f; echo g*; set +f; case file.tar.gz in *.tar.*) echo tar;; esac; case a in [a-c]) echo range;; esac; case ']' in []]) echo bracket;; esac; rm g1 g2 g3 'g 4' .hid; echo "a\tb" 'a\tb' $'a\tb' "\$x \`" \\; echo ~nobody_at_all; echo "$(printf 'a\n\n\n')|"; echo "`echo \"in\"`"; echo $(( $(echo 3) + 1 )); echo a{1,2}b
echo '== shell functions'
f() { local x=1 y; y=$1; g; echo "f $x $y $#"; }; g() { x=$((x + 1)); return 9; }; x=0; f arg; echo "$x"; fact() { [ $1 -le 1 ] && echo 1 || echo $(($1 * $(fact $(($1 - 1))))); }; fact 10; h() { while getopts ':ab:c' o "$@"; do echo "$o:$OPTARG"; done; shift $((OPTIND - 1)); echo "rest $*"; OPTIND=1; }; h -a -b val -x rest; h -ab; h -c -- -a; unset -f g; type g 2>&1 | sed 's/.*: //'; type f | head -n 1; r() { return 300; }; r; echo $?
echo '== shell redirections'
exec 3> r1 4>&1; echo three >&3; echo four >&4; exec 3>&- 4>&-; cat r1; (echo x >&3) 2>&1 | sed 's/.*: //'; exec 3< r1; read line <&3; echo $line; exec 3<&-; echo a > r2; echo b >> r2; cat < r2 > r3; cat r3; { echo out; echo err >&2; } 2>&1 > r4 | sed 's/^/pipe /'; cat r4; set -C; (echo c > r2) 2>&1 | sed 's/.*: //'; echo c >| r2; cat r2; set +C; cat 0< r2; : > r2; wc -c r2; exec 5<> r2; echo rw >&5; cat r2; exec 5>&-; echo q 1>&2 2>/dev/null; ls nothing > r5 2>&1; cat r5; cat << A << B
first
A
second
B
cat <<-"E" | tr a-z A-Z
	quoted $x
	E
while read -r a b; do echo "$b $a"; done <<E
one two
three four five
\$x $((6 * 7)) `echo sub` "q"
E
echo '== shell read'
printf 'a:b:c\n' | { IFS=: read x y; echo "$x $y"; }; printf 'one\\\ntwo\n' | { read x; echo "$x"; }; printf 'raw\\n\n' | { read -r x; echo "$x"; }; printf abcdef | { read -n 3 x; echo "$x"; }; printf 'no newline' | { read x; echo "$? $x"; }; sleep 1 | { read -t 0.2 x; echo "t $?"; }; read -t 1 x < /dev/null; echo $?; printf 'x;y' | { read -d ';' x; echo $x; }; printf 'a b' | { read x y z; echo "$x|$y|$z|"; }
echo '== shell options'
sh -e -c 'false; echo no'; echo $?; sh -e -c 'false || true; if false; then :; fi; ! true; echo yes'; sh -u -c 'echo $nothing' 2>&1 | sed 's/.*: //'; sh -x -c 'a=1; echo $a' 2>&1; sh -n -c 'echo no'; sh -c 'set -o pipefail; false | true'; echo $?; sh -v -c 'echo v' 2>&1; echo 'echo $0 $*' > scr; sh scr a b; chmod +x scr; ./scr c; . ./scr | sed 's|.*/||'; echo 'echo s; return 3' > src; . ./src; echo $?; sh -s x y < scr; sh -c 'exit 256'; echo $?; sh -c 'nothing_at_all' 2> /dev/null; echo $?; sh -c './r1' 2> /dev/null; echo $?; set -a; EXP=1; set +a; env | grep -c ^EXP=; echo $- | tr -d s
echo '== shell limits'
(ulimit -n 20; ulimit -n; ulimit -Hn); (ulimit -S -n 30; ulimit -S -n); (ulimit -f 1; dd if=/dev/zero of=lim bs=1k count=5 2> /dev/null; echo $?); wc -c lim; (ulimit -t 1; while :; do :; done); echo $?; (ulimit -n 8; exec 9> lim2) 2>&1 | sed 's/.*: //'; (ulimit -s 256; ulimit -s); umask 027; touch um; stat -c %a um; umask u=rwx,g=,o=; umask; umask -S; umask 022
echo '== shell pipes'
seq 20000 | cat | cat | tail -n 1; yes abc | head -c 200000 | wc -c; (echo 1; sleep 0.1; echo 2) | while read x; do echo "got $x"; done; echo a | (cat; echo b) | { cat; echo c; }; false | true; echo $?; true | false; echo $?; ! false | false; echo $?; seq 3 | { read a; cat; }; mkfifo ff; (echo fifo > ff) & cat ff; wait; (for i in 1 2 3; do echo $i; done > ff) & while read x; do echo "r $x"; done < ff; cat /dev/null | wc -c; dd if=/dev/urandom bs=1k count=64 2> /dev/null | tee t1 | cat > t2; cmp t1 t2 && echo same; i=0; while [ $i -lt 100 ]; do echo $i | cat; i=$((i + 1)); done | sort -n | tail -n 1
echo '== shell processes'
sh -c 'echo $PPID' | grep -c '^[0-9]'; [ "$(sh -c 'echo $PPID')" = $$ ] && echo parent; (sh -c 'exec sh -c "exit 12"'); echo $?; x=$(exit 5); echo $?; { sleep 0.2; echo late; } & echo early; wait; sleep 20 & p=$!; kill -0 $p && echo alive; kill $p; wait $p 2> /dev/null; echo $?; kill -0 $p 2> /dev/null || echo dead; setsid sh -c 'kill -HUP 0; echo no'; echo $?; (trap '' TERM; sh -c 'kill -TERM $$; echo kept'); command -v nothing_at_all; echo $?; command echo plain; (exec nothing_at_all) 2> /dev/null; echo $?; times | wc -l; hash -r; eval "eval 'echo deep'"; n=0; while [ $n -lt 20 ]; do n=$((n + 1)); (exit $n) & done; wait; echo "$n children"; cd ..
echo '== shell end'
