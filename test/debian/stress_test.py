"""Debian's stress-ng, unmodified, with --verify: no failure, and the kernel says nothing. Seconds for each stressor: the first argument."""
import re
import sys

from suite import archive, on_linnet, tail

from boottest import Case, Failed, expect, run  # noqa: E402  (suite.py shows the way)

STRESSORS = 'vm mmap mremap mmapfork madvise brk stack bigheap fork vm-rw memfd mlock mincore pagemove shm-sysv splice tee vm-splice sockpair sockfd'.split()
SECONDS = 3
BIGHEAP_KB = 768 << 10           # of address space: it grows until it is told no; with all of memory it would be the OOM killer that tells
SCRIPT = '''
cd /tmp
before=$(dmesg | wc -l)
for name in {names}; do
    echo "== $name"
    limit=unlimited; if [ $name = bigheap ]; then limit={bigheap_kb}; fi
    (ulimit -v $limit; exec stress-ng --$name 1 --verify --timeout {seconds}) 2>&1
    echo "status $?"
done
echo "== kernel"
dmesg | tail -n +$((before + 1)) | grep -v 'is not here; asked for by'
echo "== end"
'''


class Stress:
    def __init__(self, seconds):
        self.seconds = seconds
        self.parts = None

    def find(self):
        archive()
        script = SCRIPT.format(names=' '.join(STRESSORS), seconds=self.seconds, bigheap_kb=BIGHEAP_KB)
        status, out, err = on_linnet(script, 300 + len(STRESSORS) * (self.seconds * 4 + 20))
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
    stress = Stress(int(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1].isdigit() else SECONDS)
    run([Case(name, stress.check, name) for name in STRESSORS + ['kernel']])


if __name__ == '__main__':
    main()
