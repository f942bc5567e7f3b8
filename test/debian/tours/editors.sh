# vim, less, more, sed, awk and their kin on a terminal: each key is sent when the screen shows that the last one was understood.
export LC_ALL=C.UTF-8 TERM=linux LINES=24 COLUMNS=80 HOME=/tmp/ed
mkdir -p $HOME && cd $HOME || exit 1
seq 1 2000 | sed 's/$/ some words/' > text
cat > drive.py <<'P'
"""drive.py PROGRAM... : run it on a terminal of 24 x 80; standard input has lines of: text to wait for, TAB, keys to send. Prints what came out."""
import fcntl, os, pty, select, struct, sys, termios, time
steps = [line.rstrip('\n').split('\t') for line in sys.stdin]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
seen, everything = b'', b''
def read(limit):
    global seen, everything
    if not select.select([fd], [], [], limit)[0]:
        return False
    try:
        data = os.read(fd, 65536)
    except OSError:
        return False
    seen += data
    everything += data
    return data != b''
for expected, keys in steps:
    end = time.monotonic() + 60
    while expected.encode() not in seen and time.monotonic() < end:
        read(1)
    if expected.encode() not in seen:
        print('never saw', expected, seen[-300:])
        break
    while read(0.3):
        pass
    seen = b''
    os.write(fd, keys.encode().decode('unicode_escape').encode('latin-1'))
while read(60):
    pass
print(ascii(everything.decode('utf-8', 'replace')).replace('\\x1b', '\n\\x1b'))
print('status', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
printf 'text\t \n24\t/1500\\r\n1500\t?\\r\n\tG\n2000\tg\n1 some\t25\\x20\n:\t&some 19\\r\n\tq\n' | sed 's/\\x20/ /' > less.keys
python3 drive.py less text < less.keys
printf 'More\t \nMore\tq\n' > more.keys; python3 drive.py more text < more.keys
less text | tail -1; less -FX /dev/null; vim -es -u NONE text <<'V'
%s/some/any/
g/99/d
$put ='last'
normal ggdw
1,3m$
wq! out
V
echo "status $?"; wc out; tail -5 out; sha1sum out
printf '1 some\tihello \\x1b\n\t:2,5d\\r\n\tyyp\n\t:%%s/words/WORDS/g\\r\n\tu\n\t/77\\r\n\tdd\n\t:set nu\\r\n\t:w! vimout\\r\nwritten\t:split\\r\n\t:help!\\r\n\t:r !echo from a shell\\r\n\t:wqa!\\r\n' > vim.keys
python3 drive.py vim -u NONE -N -i NONE -n text < vim.keys > vim.said; tail -1 vim.said; sha1sum vimout text; head -3 vimout
printf 'one\ntwo\n' > e; printf ',s/o/0/g\n1i\nzero\n.\nw\nq\n' | ex -s e; cat e; vim --version | head -2; vimdiff --version | head -1; view -es -u NONE e +'echo line("$")' +q 2>&1; vim -r 2>&1 | head -1
awk 'BEGIN { printf "%d %s\n", 3.9, substr("hello", 2, 3); while (("seq 3" | getline x) > 0) s += x; print s; "date -u -d @0 +%F" | getline d; print d; print toupper("x") > "/dev/stderr"; system("exit 3"); exit 4 }'; echo "status $?"
gawk -F: '{ n[$7]++ } END { for (k in n) print k, n[k] | "sort" }' /etc/passwd; sed -n '/5$/{s/words/W/;p}' text | head -3; sed -i.bak '1~2d' text; wc -l text text.bak; grep -n -A1 '^100 ' text; grep -rl 'some' . | sort; grep -P '^\d+5\b' -c text; diff text text.bak | head -3; cmp text text.bak; patch --version 2>/dev/null | head -1; bc -l <<B
scale=20; a(1)*4; 2^100
B
cd / && rm -rf /tmp/ed
