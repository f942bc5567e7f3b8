"""Debian's stress-ng, unmodified, with --verify: no failure, and the kernel says nothing. Seconds for each stressor: the first argument."""
import re
import sys

from suite import archive, cpus, on_linnet, tail

from boottest import Case, Failed, expect, run  # noqa: E402  (suite.py shows the way)

MEMORY = 'vm mmap mremap mmapfork madvise brk stack bigheap fork vm-rw memfd mlock mincore pagemove shm-sysv splice tee vm-splice sockpair sockfd'.split()
# Cores and threads: as many of each as there are CPUs. `sock` is not among them: with --sock-domain unix it asks for TCP, which no Linux gives it either.
THREADS = ('cpu switch futex mutex sem sem-sysv msg mq shm pthread clone fork exec schedpolicy resched yield race-sched affinity timer timerfd hrtimers '
           'signal sigq sigrt sigsuspend sigpending sigchld sigfd signest epoll poll eventfd pipe fifo sockpair sockfd membarrier rseq').split()
CPUS = cpus(4)
SECONDS = 3
SECONDS_OF_THREADS = 1         # there are many, and several of each
# For the root and the detectors, and for each of as many stressors: `clone` has 128 MiB where none of its 8,192 threads has ended yet.
MEMORY_MIB, MEMORY_MIB_EACH = 2048, 256
BIGHEAP_KB = 768 << 10           # of address space: it grows until it is told no; with all of memory it would be the OOM killer that tells
# What a stressor asks for that is not there yet answers with an error, and says so once.
ABSENT = 'is not here; asked for by|which is not there yet'
# The clock is measured for a second after boot, and the kernel tells of it. glibc has the thread's rseq area by default, and exec runs for others than
# root alone. Threads of mutex are real-time ones while they hold it: who is still about to begin may get the CPU by the throttle of these alone,
# once a second. The receiver of mq waits no longer than to the end of a second, which may be when the stressor ends: messages end it, not time. After
# its time is up resched waits for each child a second at most and calls a count corrupted to which one adds later, on Linux too: its count ends it.
SCRIPT = '''
cd /tmp; chmod 1777 .
while [ $(cut -d . -f 1 /proc/uptime) -lt 2 ]; do sleep 0.1; done
export GLIBC_TUNABLES=glibc.pthread.rseq=0
before=$(dmesg | wc -l)
for name in {names}; do
    echo "== $name"
    limit=unlimited; if [ $name = bigheap ]; then limit={bigheap_kb}; fi
    as=; if [ $name = exec ]; then as='setpriv --reuid 65534 --regid 65534 --clear-groups'; fi
    seconds={seconds}; if [ $name = mutex ]; then seconds=3; fi
    ops=; if [ $name = mq ]; then seconds=60 ops='--mq-ops 100000'; fi
    if [ $name = resched ]; then seconds=60 ops='--resched-ops 4000'; fi
    (ulimit -v $limit; exec $as stress-ng --$name {workers} --verify --timeout $seconds $ops) 2>&1
    echo "status $?"
done
echo "== kernel"
dmesg | tail -n +$((before + 1)) | grep -vE '{absent}'
echo "== end"
'''


class Stress:
    """One machine that runs the stressors one after the other, each for some seconds."""

    def __init__(self, seconds, names, workers, ncpus):
        self.seconds, self.names, self.workers, self.ncpus = seconds, names, workers, ncpus
        self.parts = None

    def find(self):
        archive()
        script = SCRIPT.format(names=' '.join(self.names), seconds=self.seconds, bigheap_kb=BIGHEAP_KB, workers=self.workers, absent=ABSENT)
        status, out, err = on_linnet(script, 300 + len(self.names) * (self.seconds * 4 + 20), '--smp', str(self.ncpus),
                                     '--mem', f'{MEMORY_MIB + self.ncpus * MEMORY_MIB_EACH}M')
        said = out.decode(errors='replace')
        self.parts = dict(re.findall(r'^== (\S+)\n(.*?)(?=^== )', said, re.MULTILINE | re.DOTALL))
        self.parts['last words'] = f'status {status}\n{tail(said)}\n{tail(err.decode(errors="replace"))}'

    def check(self, name):
        if self.parts is None:
            self.find()
        said = self.parts.get(name)
        if said is None:
            raise Failed(f'it did not come to its end:\n{self.parts["last words"]}')
        if name == 'kernel':
            expect(said == '', f'the kernel says:\n{tail(said)}')
        else:
            expect('status 0\n' in said and ' fail: ' not in said and 'skipped' not in said, tail(said))


def main():
    seconds = int(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 0
    memory = Stress(seconds or SECONDS, MEMORY, 1, cpus(1))
    threads = Stress(seconds or SECONDS_OF_THREADS, THREADS, CPUS, CPUS)
    run([Case(name, memory.check, name) for name in MEMORY + ['kernel']] +
        [Case(f'{name}_on_{CPUS}_cpus', threads.check, name) for name in THREADS + ['kernel']])


if __name__ == '__main__':
    main()
