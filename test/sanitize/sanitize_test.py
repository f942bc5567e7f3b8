"""sanitize_test.py VARIANT   builds a kernel with detectors and lets it live through tests; the first defect it tells is its end.

The variants are what `meson setup` with these options gives, kept in sanitize/VARIANT of the build folder. Each must first prove that its
detectors see planted faults (kernel/debug/selftest.h), then run the programs of test/abi without telling any.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MAIN_BUILD = os.environ.get('LINNET_BUILD', os.path.join(TOP, 'build'))
VARIANTS = {
    'kasan': ['-Dkasan=true', '-Dubsan=true'],
    'debug': ['-Dkernel_build=debug'],
}
COMMAND_TIMEOUT_S = 240
FAILING_TIMEOUT_S = 400     # a test that waits for what failed is ended after some seconds, and there may be many


def build(variant):
    """The folder of the built variant."""
    folder = os.path.join(MAIN_BUILD, 'sanitize', variant)
    steps = [] if os.path.exists(os.path.join(folder, 'build.ninja')) else [['meson', 'setup', folder, TOP] + VARIANTS[variant]]
    steps.append(['ninja', '-C', folder, '-j2', 'kernel.elf', 'userspace/image/initramfs.cpio'])
    for step in steps:
        done = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            print('\n'.join('# ' + line for line in done.stdout.splitlines()[-30:]))
            sys.exit(f'{" ".join(step)} failed')
    return folder


class Variant:
    """A built kernel: run() gives the status and output of a command inside it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, command, parameters, *options, timeout_s=COMMAND_TIMEOUT_S):
        argv = [os.path.join(TOP, 'linnet'), 'run', '--no-build', '--mem', '512M', '--timeout', str(timeout_s),
                '--append', parameters, '--exec', command, *options]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                              env=os.environ | {'LINNET_BUILD': self.folder}, check=False)
        return done.returncode, done.stdout


def selftests(kernel):
    """Every planted fault was told, and as many were planted as the kernel knows."""
    status, said = kernel.run('dmesg -n 1; cat /proc/self/stat >/dev/null; dmesg', 'linnet.selftest=all linnet.audit')
    planned = re.search(r'selftest: 1\.\.(\d+)', said)
    good = re.findall(r'selftest: ok ', said)
    bad = re.findall(r'selftest: (not ok .*)', said)
    if 'mmu: audit: ' not in said:
        return f'the mappings were not audited:\n{said[-3000:]}'
    if status != 0 or planned is None or int(planned[1]) == 0:
        return f'no self-tests ran (status {status}):\n{said[-3000:]}'
    if bad or len(good) != int(planned[1]):
        return '\n'.join(bad) or f'{len(good)} of {planned[1]} self-tests passed'
    return None


def torture(ncpus):
    """Locks and read-copy-update under load on so many CPUs."""
    def case(kernel):
        status, said = kernel.run('dmesg -n 1; dmesg', 'linnet.selftest=torture linnet.defects=panic', '--', '-smp', str(ncpus))
        planned = re.search(r'selftest: 1\.\.(\d+)', said)
        good = status == 0 and planned is not None and len(re.findall(r'selftest: ok ', said)) == int(planned[1]) > 0
        return None if good else f'status {status}:\n{said[-4000:]}'
    return case


def program(*arguments):
    """
    Runs a program of test/abi to its end, in a kernel that ends at the first defect. The second time it counts: by then quarantine and
    the store of call chains are as full as they get, and free memory can be compared.
    """
    def case(kernel):
        path = os.path.join(MAIN_BUILD, 'test', 'abi', arguments[0])
        once = ' '.join(['/test', *arguments[1:]])
        status, said = kernel.run(f'{once} >/dev/null; {once}', 'linnet.defects=panic', '--add', f'{path}:/test')
        failed = '\n'.join(re.findall(r'^not ok .*(?:\n#.*)*', said, re.MULTILINE))
        return None if status == 0 else f'status {status}:\n{failed}\n{said[-3000:]}'
    return case


def leaks(kernel):
    """
    After the ABI suite and a look into every file of /proc and /sys, no heap object is lost; the log is not what holds them. A pagemap is
    256 GiB long, and k* are the log and figures for each frame.
    """
    path = os.path.join(MAIN_BUILD, 'test', 'abi', 'abi')
    command = ('/test >/dev/null; find /proc /sys -type f -name "[!k]*" ! -name pagemap -maxdepth 3 -exec cat {} + >/dev/null 2>&1; sleep 2;'
               'echo scan >/sys/kernel/debug/kmemleak && cat /sys/kernel/debug/kmemleak && echo scanned')
    status, said = kernel.run(command, 'linnet.defects=panic', '--add', f'{path}:/test')
    return None if status == 0 and said.strip() == 'scanned' else f'status {status}:\n{said[-6000:]}'


FAIL_SETUP = """cd /sys/kernel/debug
for point in failslab fail_page_alloc; do
  echo -1 >$point/times; echo 0 >$point/verbose; echo Y >$point/task-filter; echo SEED >$point/seed
done
echo 0 >fail_page_alloc/min-order; echo N >fail_page_alloc/ignore-gfp-wait
echo scan >kmemleak; echo clear >kmemleak
"""
# Caches keep what they have got: the second figure may be a little below the first, but not by a page for each test.
FAIL_CHECK = """for point in failslab fail_page_alloc; do echo 0 >$point/probability; done
sleep 2; echo scan >kmemleak; sleep 1; echo scan >kmemleak; cat kmemleak
for pid in $(pidof test); do echo "$pid is left:"; grep -E 'State|PPid|SigBlk|SigIgn|SigPnd|ShdPnd' /proc/$pid/status; cat /proc/$pid/stack /proc/$pid/syscall; done
"""
MEM_FREE = "awk '/MemFree/ { print \"free\", $2 }' /proc/meminfo\n"


def failing(name, command, lost_kb, failed, probability=0, seed=1, points='failslab fail_page_alloc'):
    """The command runs while allocations fail: the kernel lives, no process hangs, no heap object is lost, the memory comes back.
    As many of its tests as range `failed` allows have failed; what programs that they start say of it is not of interest. Before that it
    runs undisturbed, as in program()."""
    def case(kernel):
        path = os.path.join(MAIN_BUILD, 'test', 'abi', name)
        script = ''.join([FAIL_SETUP.replace('SEED', str(seed)), f'(cd /tmp; {command} >/dev/null)\nsleep 1\n', MEM_FREE,
                          f'for point in {points}; do echo {probability} >$point/probability; done\n',
                          f'cd /tmp; {command} >/tmp/said 2>/dev/null || tail -50 /tmp/said; echo failed $(grep -c "^not ok" /tmp/said); rm /tmp/said; cd /sys/kernel/debug\n',
                          FAIL_CHECK, MEM_FREE])
        status, said = kernel.run(script, 'linnet.defects=panic', '--add', f'{path}:/test', timeout_s=FAILING_TIMEOUT_S)
        told = re.fullmatch(r'free (\d+)\nfailed (\d+)\nfree (\d+)\n', said)
        good = status == 0 and told and int(told[1]) - int(told[3]) < lost_kb and int(told[2]) in failed
        return None if good else f'status {status}:\n{said[-6000:]}'
    return case


CASES = [
    ('planted faults are told', selftests),
    ('torture on one CPU', torture(1)),
    ('torture on four CPUs', torture(4)),
    ('the ABI suite', program('abi')),
    ('no heap object is lost', leaks),
    ('10,000 hostile calls', program('hostile', '10000', '7')),
    ('300 processes', program('cycles', '300')),
    ('each allocation of many operations fails once', failing('nth', '/test', 512, range(1))),
    ('one in twenty allocations of the ABI suite fails', failing('abi', 'ABI_FAIL=1 /test', 4096, range(10, 1000), 5)),
    ('one in five heap objects of the ABI suite fails', failing('abi', 'ABI_FAIL=1 /test', 4096, range(50, 1000), 20, 6, 'failslab')),
    ('one in five pages of the ABI suite fails', failing('abi', 'ABI_FAIL=1 /test', 4096, range(10, 1000), 20, 7, 'fail_page_alloc')),
]


def main():
    kernel = Variant(build(sys.argv[1]))
    print(f'1..{len(CASES)}', flush=True)
    failed = False
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    asked = [pool.submit(case, kernel) for _, case in CASES]
    for number, ((name, _), answer) in enumerate(zip(CASES, asked), 1):
        wrong = answer.result()
        failed |= wrong is not None
        print(f'{"ok" if wrong is None else "not ok"} {number} - {sys.argv[1]}: {name}', flush=True)
        if wrong is not None:
            print('\n'.join('# ' + line for line in wrong.splitlines()), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
