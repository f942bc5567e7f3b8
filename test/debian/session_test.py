"""A Debian root as one uses it: bash as the login shell of the serial line, with job control, and programs that take the whole screen."""
import argparse
import tempfile
import time

from suite import PACKAGES, SUITE, archive

import run as linnet_run  # noqa: E402  (suite.py shows the way to these)
from boottest import DIRECT_TIMEOUT_S, Case, Machine, artifact, expect, run  # noqa: E402
from terminal_test import Talk  # noqa: E402

PROMPT = r'root@\S+:\S*# $'
PANE = r'root@\S+:\S*#\s'
GDB = r'^\(gdb\) $'
UP, F10 = '\x1b[A', '\x1b[21~'


class Session:
    """One boot for all cases; each begins and ends at the prompt."""

    def __init__(self):
        self.machine = self.talk = None

    def start(self, folder):
        archive()
        options = argparse.Namespace(root=SUITE, packages=','.join(PACKAGES), add=[])
        self.machine = Machine(kernel=artifact('kernel.elf'), initrd=linnet_run.make_initramfs(options, folder), memory='1800M', smp=4, serials=['port'],
                               append='console=ttyS0 quiet panic=off linnet.defects=panic initramfs_options=size=95%')
        self.machine.__enter__()
        self.talk = Talk(self.machine.ports[0])
        self.talk.expect(PROMPT, DIRECT_TIMEOUT_S)
        self.talk.say('stty rows 24 cols 80; export TERM=vt220 LC_ALL=C.UTF-8; cd /tmp; bind "set enable-bracketed-paste off"\r', PROMPT)

    def stop(self):
        if self.machine is not None:
            self.machine.__exit__(None, None, None)

    def say(self, text, pattern=PROMPT):
        if self.machine is None:
            self.start(FOLDER.name)
        return self.talk.say(text, pattern)


SESSION = Session()
FOLDER = tempfile.TemporaryDirectory(prefix='linnet-session-')
say = SESSION.say


def line_editing():
    say('echo one\r')
    say('echo $((6 * 7)) two\r', r'^42 two\n(.*\n)*' + PROMPT)
    say(UP + UP + ' more\r', r'^one more\n(.*\n)*' + PROMPT)
    say('echo /etc/host\tn\t\r', r'^/etc/hostname\n(.*\n)*' + PROMPT)
    say('\x12two', r'reverse-i-search')
    say('\r', r'^42 two\n(.*\n)*' + PROMPT)
    say('never run', r'never run$')
    time.sleep(1)  # a signal between bash's look for one and its wait for keys is seen with the next key only
    say('\x03')
    say('read -p "name: " x; echo "<$x>"\r', r'name: $')
    say('ab\x7fc\r', r'^<ac>\n(.*\n)*' + PROMPT)


def jobs():
    say('sleep 100\r', r'sleep 100\n')
    say('\x1a', r'^\[1\]\+  Stopped +sleep 100\n(.*\n)*' + PROMPT)
    say('bg\r', r'^\[1\]\+ sleep 100 &\n(.*\n)*' + PROMPT)
    say('jobs\r', r'^\[1\]\+  Running +sleep 100 &\n(.*\n)*' + PROMPT)
    say('fg\r', r'^sleep 100\n')
    say('\x03')
    say('echo status $?\r', r'^status 130\n(.*\n)*' + PROMPT)
    say('sh -c "while read -r x; do echo \\"<\\$x>\\"; done; echo over" | cat\r', r'cat\n')
    say('\x1a', r'Stopped +sh -c')
    say('fg\r', r'^sh -c')
    time.sleep(1)  # until bash has given the terminal its settings back
    say('pipe\r', r'^<pipe>\n')
    say('\x04', r'^over\n(.*\n)*' + PROMPT)
    say('cat &\r', r'^\[1\] \d+\n(.*\n)*' + PROMPT)
    say('sleep 1; jobs\r', r'Stopped.* cat\n(.*\n)*' + PROMPT)
    say('kill -9 %1; sleep 1\r', r'Killed +cat\n(.*\n)*' + PROMPT)
    say('trap "echo caught" INT; sh -c "kill -INT \\$PPID"\r', r'^caught\n(.*\n)*' + PROMPT)
    say('trap - INT; (sleep 1; echo behind) & sleep 3\r', r'^behind\n(.*\n)*' + PROMPT)


def editors():
    say('seq 100 >lines; vim -u NONE -N lines\r', r'"lines"')
    say(':%s/1/one/g\r:w\r', r'written')
    say(':!echo from $((2 + 1)) shells\r', r'from 3 shells\n(.*\n)*.*ENTER')
    say('\r', r'')
    say(':q\r')
    say('grep -c one lines\r', r'^20\n(.*\n)*' + PROMPT)
    say('nano lines\r', r'GNU nano')
    say('typed ', r'typed')
    say('\x0f', r'File Name to Write')
    say('\r', r'Wrote 100 lines')
    say('\x18')
    say('head -1 lines\r', r'^typed one\n(.*\n)*' + PROMPT)


def viewers():
    say('seq 1000 | less\r', r'^:$|\n:')
    say('/777\r', r'777')
    say('q')
    say('top\r', r'PID +USER')
    say('q')
    say('htop\r', r'F10.*Quit')
    say('q')


def commander():
    say('mc -a\r', r'Quit')
    time.sleep(1)  # until it reads keys
    say(F10)


def multiplexer():
    say('tmux -f /dev/null new -s one\r', r'\[one\] 0:')
    say('echo $((6 * 7)) inside; tty\r', r'42 inside[^/]*/dev/pts/0')
    say('\x02"', PANE)
    say('tty; sleep 1000\r', r'/dev/pts/1')
    say('\x1a', r'Stopped')
    say('jobs; stty size\r', r'Stopped +sleep 1000\n(.*\n)*.*11 80')
    say('\x02d', r'detached \(from session one\)\]\n(.*\n)*.*' + PROMPT)
    say('tmux ls; tmux list-panes -F "#{pane_index} #{pane_tty} #{pane_height}"\r', r'^one: 1 windows .*\n0 /dev/pts/0 11\n1 /dev/pts/1 11\n(.*\n)*' + PROMPT)
    say('tmux send-keys -t one.0 "seq 5 | tac | paste -sd,; tmux wait-for -S told" Enter; tmux wait-for told; tmux capture-pane -p -t one.0 | grep -v seq\r',
        r'^5,4,3,2,1\n(.*\n)*' + PROMPT)
    say('tmux attach\r', r'Stopped')
    say('\x02:', r':\s{20}')  # apart: what comes all at once is taken for pasted
    say('kill-server\r', r'(exited|lost server)\]\n(.*\n)*.*' + PROMPT)


DEBUG = 'TERM=dumb gdb -q -nx -ex "set confirm off" -ex "set pagination off" -ex "set width 0" '
THREADS = r"""
#include <pthread.h>
#include <unistd.h>
static volatile int total;
static int add(int n)
{
    total += n;
    return total;
}
static void *work(void *arg)
{
    for (int i = 1; arg == &total; i++) {
        add(i);
        usleep(1000);
    }
    pause();
    return arg;
}
int main(void)
{
    pthread_t one, two;
    pthread_create(&one, 0, work, 0);
    pthread_create(&two, 0, work, (void *)&total);
    pthread_join(two, 0);
    return 0;
}
"""


def threads_program():
    say("cat >threads.c <<'END'" + THREADS.replace('\n', '\r') + 'END\r', r'^> END\n(.*\n)*' + PROMPT)
    say('gcc -g -O0 -pthread -o threads threads.c; echo made $?\r', r'^made 0\n' + PROMPT)


def debugger():
    """gdb on a program with threads: breakpoints, steps, threads, and a program that is interrupted while it runs."""
    threads_program()
    say(DEBUG + 'threads\r', GDB)
    say('break add\r', r'^Breakpoint 1 at .*threads\.c, line 6\.\n(.*\n)*' + GDB)
    say('run\r', r'^Thread 3 "threads" hit Breakpoint 1, add \(n=1\) at threads\.c:6\n(.*\n)*' + GDB)
    say('info threads\r', r'^  1 +Thread .*\n  2 +Thread .* pause .*\n\* 3 +Thread .* add \(n=1\).*\n' + GDB)
    say('backtrace\r', r'^#0  add \(n=1\) .*\n#1 .* in work .*threads\.c:12\n(.*\n)*' + GDB)
    say('print total\r', r'^\$1 = 0\n' + GDB)
    say('next\r', r'^7\s+return total;\n' + GDB)
    say('print total\r', r'^\$2 = 1\n' + GDB)
    say('set variable total = 100\r', GDB)
    say('finish\r', r'^Value returned is \$3 = 100\n' + GDB)
    say('continue\r', r'hit Breakpoint 1, add \(n=2\)(.*\n)*' + GDB)
    say('step\r', r'^7\s+return total;\n' + GDB)
    say('watch total\r', r'^Hardware watchpoint 2: total\n' + GDB)
    say('delete 1\r', GDB)
    say('continue\r', r'hit Hardware watchpoint 2: total\n\nOld value = 102\nNew value = 105\n(.*\n)*' + GDB)
    say('delete\r', GDB)
    say('thread 2\r', r'^\[Switching to thread 2 .*\n(.*\n)*' + GDB)
    say('up\r', r'^#1 .*work \(arg=0x0\).*\n(.*\n)*' + GDB)
    say('thread apply all backtrace\r', r'^Thread 3 (.*\n)*.*work \((.*\n)*Thread 2 (.*\n)*.*work \((.*\n)*Thread 1 (.*\n)*.*main \(.*\n(.*\n)*' + GDB)
    for _ in range(3):
        say('continue\r', r'^Continuing\.\n')
        say('\x03', r'^Thread \d "threads" received signal SIGINT, Interrupt\.\n(.*\n)*' + GDB)
    say('print total > 105\r', r'= 1\n' + GDB)
    say('print (int)getpid()\r', r'= \d+\n' + GDB)
    say('tbreak work if i > 20\r', GDB)
    say('kill\r', r'killed\]\n' + GDB)
    say('quit\r')
    say('pgrep threads; echo left $?\r', r'^left 1\n' + PROMPT)


def debugger_attaches():
    """gdb and strace come to a program that runs, and leave it running."""
    threads_program()
    say('./threads & sleep 1\r', r'^\[1\] \d+\n(.*\n)*' + PROMPT)
    say('strace -f -o log -p $!\r', r'attached with 3 threads')
    time.sleep(1)
    say('\x03', r'detached\n(.*\n)*' + PROMPT)
    say('grep -q "nanosleep.* = 0" log && grep -c "^[0-9]* *pause" log\r', r'^1\n' + PROMPT)
    say(DEBUG + '-p $!\r', GDB)
    say('info threads\r', r'^\* 1 .*\n  2 .*\n  3 .*\n' + GDB)
    say('break add\r', GDB)
    say('continue\r', r'hit Breakpoint 1, add(.*\n)*' + GDB)
    say('detach\r', r'detached\]\n' + GDB)
    say('quit\r')
    say('jobs\r', r'^\[1\]\+  Running +\./threads &\n' + PROMPT)
    say('gdb -q -nx -batch -p $! -ex "print total > 0"\r', r'^\$1 = 1\n(.*\n)*' + PROMPT)
    say('strace -f -c -o counts -p $! & sleep 2; kill -INT %2; wait %2\r', r'detached\n(.*\n)*' + PROMPT)
    say('grep -c clock_nanosleep counts\r', r'^1\n' + PROMPT)
    say('kill %1; wait %1; echo ended $?\r', r'^ended 143\n(.*\n)*' + PROMPT)
    say('strace -f -o log ./threads & sleep 1; kill $(pgrep -x threads); wait $!; grep -c "killed by SIGTERM" log\r', r'^3\n(.*\n)*' + PROMPT)


def main():
    try:
        run([Case(case.__name__, case) for case in (line_editing, jobs, editors, viewers, commander, multiplexer, debugger, debugger_attaches)])
    finally:
        SESSION.stop()


if __name__ == '__main__':
    main()
