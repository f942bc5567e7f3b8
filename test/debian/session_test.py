"""A Debian root as one uses it: bash as the login shell of the serial line, with job control, and programs that take the whole screen."""
import argparse
import tempfile
import time

from suite import PACKAGES, SUITE, archive, cpus

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
        self.machine = Machine(kernel=artifact('kernel.elf'), initrd=linnet_run.make_initramfs(options, folder), memory='1800M', smp=cpus(4), serials=['port'],
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


def tells(command, line, prompt=PROMPT):
    """A command that prints such a line, and then perhaps others, before the prompt is there again."""
    return say(command + '\r', f'^{line}\n(.*\n)*{prompt}')


def line_editing():
    say('echo one\r')
    tells('echo $((6 * 7)) two', r'42 two')
    tells(UP + UP + ' more', r'one more')
    tells('echo /etc/host\tn\t', r'/etc/hostname')
    say('\x12two', r'reverse-i-search')
    tells('', r'42 two')
    say('never run', r'never run$')
    time.sleep(1)  # a signal between bash's look for one and its wait for keys is seen with the next key only
    say('\x03')
    say('read -p "name: " x; echo "<$x>"\r', r'^name: $')
    tells('ab\x7fc', r'<ac>')


def jobs():
    # A key that comes before the command has the terminal is the shell's: so the command says when it runs.
    say('(echo asleep; exec sleep 100)\r', r'^asleep\n')
    job = r'\( echo asleep; exec sleep 100 \)'
    say('\x1a', fr'^\[1\]\+  Stopped +{job}\n(.*\n)*{PROMPT}')
    tells('bg', fr'\[1\]\+ {job} &')
    tells('jobs', fr'\[1\]\+  Running +{job} &')
    say('fg\r', fr'^{job}\n')
    time.sleep(1)  # bash says so before it gives the terminal away
    say('\x03')
    tells('echo status $?', r'status 130')
    say('sh -c "echo on; while read -r x; do echo \\"<\\$x>\\"; done; echo over" | cat\r', r'^on\n')
    say('\x1a', r'Stopped +sh -c')
    say('fg\r', r'^sh -c')
    time.sleep(1)  # until bash has given the terminal its settings back
    say('pipe\r', r'^<pipe>\n')
    say('\x04', r'^over\n(.*\n)*' + PROMPT)
    tells('cat &', r'\[1\] \d+')
    say('sleep 1; jobs\r', r'Stopped.* cat\n(.*\n)*' + PROMPT)
    say('kill -9 %1; sleep 1\r', r'Killed +cat\n(.*\n)*' + PROMPT)
    tells('trap "echo caught" INT; sh -c "kill -INT \\$PPID"', r'caught')
    tells('trap - INT; (sleep 1; echo behind) & sleep 3', r'behind')


def editors():
    say('seq 100 >lines; vim -u NONE -N lines\r', r'"lines"')
    say(':%s/1/one/g\r:w\r', r'written')
    say(':!echo from $((2 + 1)) shells\r', r'from 3 shells\n(.*\n)*.*ENTER')
    say('\r', r'')
    say(':q\r')
    tells('grep -c one lines', r'20')
    say('nano lines\r', r'GNU nano')
    say('typed ', r'typed')
    say('\x0f', r'File Name to Write')
    say('\r', r'Wrote 100 lines')
    say('\x18')
    tells('head -1 lines', r'typed one')


def viewers():
    say('seq 1000 | less\r', r'^:$|\n:')
    say('/777\r', r'799')  # the last line of that screen
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
    say('(tty; exec sleep 1000)\r', r'/dev/pts/1')
    say('\x1a', r'Stopped')
    say('jobs; stty size\r', r'Stopped +\( tty; exec sleep 1000 \)\n(.*\n)*.*11 80')
    say('\x02d', r'detached \(from session one\)\]\n(.*\n)*.*' + PROMPT)
    tells('tmux ls; tmux list-panes -F "#{pane_index} #{pane_tty} #{pane_height}"', r'one: 1 windows .*\n0 /dev/pts/0 11\n1 /dev/pts/1 11')
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
    tells("cat >threads.c <<'END'" + THREADS.replace('\n', '\r') + 'END', r'> END')
    say('gcc -g -O0 -pthread -o threads threads.c; echo made $?\r', r'^made 0\n' + PROMPT)


def debugger():
    """gdb on a program with threads: breakpoints, steps, threads, and a program that is interrupted while it runs."""
    threads_program()
    say(DEBUG + 'threads\r', GDB)
    tells('break add', r'Breakpoint 1 at .*threads\.c, line 6\.', GDB)
    tells('run', r'Thread 3 "threads" hit Breakpoint 1, add \(n=1\) at threads\.c:6', GDB)
    say('info threads\r', r'^  1 +Thread .*\n  2 +Thread .*\n\* 3 +Thread .* add \(n=1\).*\n' + GDB)
    tells('backtrace', r'#0  add \(n=1\) .*\n#1 .* in work .*threads\.c:12', GDB)
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
    # By then the second thread, which nothing waits for, has begun and come to its pause.
    say('tbreak add if n > 20\r', GDB)
    say('continue\r', r'hit Temporary breakpoint 3, add \(n=21\)(.*\n)*' + GDB)
    say('info threads\r', r'^  1 +Thread .*\n  2 +Thread .* pause .*\n\* 3 +Thread .* add \(n=21\).*\n' + GDB)
    tells('thread 2', r'\[Switching to thread 2 .*', GDB)
    tells('up', r'#1 .*work \(arg=0x0\).*', GDB)
    tells('thread apply all backtrace', r'Thread 3 (.*\n)*.*work \((.*\n)*Thread 2 (.*\n)*.*work \((.*\n)*Thread 1 (.*\n)*.*main \(.*', GDB)
    for _ in range(3):
        say('continue\r', r'^Continuing\.\n')
        say('\x03', r'^Thread \d "threads" received signal SIGINT, Interrupt\.\n(.*\n)*' + GDB)
    say('print total > 105\r', r'= 1\n' + GDB)
    say('print (int)getpid()\r', r'= \d+\n' + GDB)
    say('tbreak work if i > 50\r', GDB)
    say('kill\r', r'killed\]\n' + GDB)
    say('quit\r')
    say('pgrep threads; echo left $?\r', r'^left 1\n' + PROMPT)


def debugger_attaches():
    """gdb and strace come to a program that runs, and leave it running."""
    threads_program()
    all_begun = 'until [ "$(ls /proc/$(pgrep -x threads)/task | wc -l)" = 3 ]; do sleep 0.2; done 2>/dev/null'
    tells(f'./threads & {all_begun}', r'\[1\] \d+')
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
    tells('gdb -q -nx -batch -p $! -ex "print total > 0"', r'\$1 = 1')
    say('strace -f -c -o counts -p $! 2>told & until grep -q attached told; do sleep 0.2; done; sleep 1; kill -INT %2; wait %2; tail -n 1 told\r',
        r'detached\n(.*\n)*' + PROMPT)
    say('grep -c clock_nanosleep counts\r', r'^1\n' + PROMPT)
    tells('kill %1; wait %1; echo ended $?', r'ended 143')
    tells(f'strace -f -o log ./threads & {all_begun}; kill $(pgrep -x threads); wait $!; grep -c "killed by SIGTERM" log', r'3')


def main():
    try:
        run([Case(case.__name__, case) for case in (line_editing, jobs, editors, viewers, commander, multiplexer, debugger, debugger_attaches)])
    finally:
        SESSION.stop()


if __name__ == '__main__':
    main()
