"""linnet latency: the longest times without interrupts and without preemption, counted in instructions.

A kernel with the latency tracer (kernel/debug/latency.h) boots Debian; cyclictest runs at priority 80 on each CPU with stress-ng beside it. One
instruction is one nanosecond of the guest's time, so that the load of the machine it runs on changes nothing, and a plugin counts each CPU's own
instructions: waiting for another CPU counts as far as this one executes something. Wakeups are those of real-time threads by their own CPU,
as by a timer there. Measured is while cyclictest runs (test/latency/README.md says why).
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap

import build
import deps
from build import TOP, CommandError

WIDTH = 150  # columns of the table
LIMIT = 20000  # instructions, of an irqsoff or preemptoff section
PACKAGES = 'rt-tests,stress-ng'
MEMORY = '1G'
TRACER = '/sys/kernel/debug/latency'
LOAD = ('--cpu 1 --vm 1 --vm-bytes 192M --fork 1 --mmap 1 --mmap-bytes 64M --pipe 1 --hdd 1 --hdd-bytes 64M --switch 1 --timer 1 '
        '--procfs 1 --dentry 1 --mremap 1 --mremap-bytes 32M --futex 1 --pthread 1 --exec 1')
LOAD_REFUSED = 1  # of stress-ng: an option that it does not know, and nothing was done
KINDS = ('irqsoff', 'preemptoff', 'wakeup')


def parser():
    p = argparse.ArgumentParser(prog='linnet latency', description=__doc__.splitlines()[0])
    p.add_argument('--cpus', default='1,4', metavar='N,M', help='machines with so many CPUs, one after another (1,4)')
    p.add_argument('--seconds', type=int, default=20, metavar='S', help="of the guest's time under load (20)")
    p.add_argument('--load', default=LOAD, metavar='ARGUMENTS', help='of stress-ng')
    p.add_argument('--worst', type=int, default=3, metavar='N', help='places of each kind, the worst first (3; of each CPU the kernel keeps 8)')
    p.add_argument('--chains', action='store_true', help='the call chains line by line, with offsets')
    p.add_argument('--check', action='store_true', help=f'fail when a section is longer than {LIMIT:,} instructions')
    p.add_argument('--timeout', type=float, default=3600, metavar='S', help='of one machine')
    p.add_argument('--no-build', action='store_true', help='measure what was built last')
    return p


def variant():
    return build.artifact('latency')


def build_variant():
    """The kernel with the tracer, in a folder of its own, and the plugin that counts."""
    folder = variant()
    if not os.path.exists(os.path.join(folder, 'build.ninja')):
        build.quiet(['meson', 'setup', folder, TOP, '-Dlatency=true'])
    build.quiet(['ninja', '-C', folder, 'kernel.elf', 'userspace/image/initramfs.cpio', 'test/latency/plugin.so'])


def script(options, cpus):
    """What runs in the guest."""
    load = f'stress-ng {options.load} --temp-path /dev/shm --timeout {options.seconds}s --quiet >load.out 2>&1'
    measure = f'cyclictest -p 80 -t {cpus} -a -q -D {max(options.seconds - 1, 1)}'
    show_kinds = '; '.join(f'echo == {kind}; cat {TRACER}/{kind}' for kind in KINDS)
    return (f'cd /tmp; echo 1 >{TRACER}/enabled; {load} & load=$!; {measure} 2>/dev/null; echo 0 >{TRACER}/enabled; {show_kinds}; echo ==; '
            'wait $load; echo "load: $?"; cat load.out')


def run_machine(options, cpus):
    """What the guest printed."""
    with tempfile.TemporaryDirectory(prefix='linnet-latency-', dir='/dev/shm') as folder:
        ram = os.path.join(folder, 'ram')
        with open(ram, 'wb') as file:
            file.truncate(1 << 30)
        plugin = os.path.join(variant(), 'test', 'latency', 'plugin.so')
        argv = [os.path.join(TOP, 'linnet'), 'run', '--no-build', '--accel', 'tcg,thread=single', '--smp', str(cpus), '--mem', MEMORY,
                '--timeout', str(options.timeout), '--root', 'bookworm', '--packages', PACKAGES, '--exec', script(options, cpus), '--',
                '-icount', 'shift=0,sleep=off', '-object', f'memory-backend-file,id=ram,size={MEMORY},mem-path={ram},share=on',
                '-machine', 'memory-backend=ram', '-plugin', f'{plugin},ram={ram}']
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace',
                              env=os.environ | {'LINNET_BUILD': variant()}, check=False)
    if done.returncode != 0 or '\n==\n' not in done.stdout:
        raise CommandError(f'{cpus} CPUs: the measurement failed (status {done.returncode})\n{done.stdout}{done.stderr}')
    load = re.search(r'^load: (\d+)$', done.stdout, re.M)
    if load is None or int(load[1]) == LOAD_REFUSED:
        raise CommandError(f'{cpus} CPUs: stress-ng failed\n{done.stdout}{done.stderr}')
    return done.stdout


def parse_tracer(text):
    """Entries of one file of the tracer: [(cpu, length, unit, comm, begin, end)], the chains as lists of "function+offset"."""
    entries = []
    chain = None
    for line in text.splitlines():
        head = re.match(r'(\d+) (\d+) (\S+) (.*)$', line)
        if head:
            entries.append((int(head[1]), int(head[2]), head[3], head[4], [], []))
        elif entries and line.startswith('  '):
            word, _, place = line.strip().rpartition(' ')
            if word.strip() in ('begin', 'end'):
                chain = entries[-1][4 if word.strip() == 'begin' else 5]
            chain.append(re.sub(r'/0x[0-9a-f]+$', '', place))
    return entries


def parse_output(text):
    """({kind: entries}, lines of cyclictest)."""
    parts = re.split(r'^== ?(\w*)\n', text, flags=re.M)
    kinds = {name: parse_tracer(body) for name, body in zip(parts[1::2], parts[2::2]) if name}
    return kinds, [line for line in parts[0].splitlines() if line.startswith('T:')]


def worst_places(entries):
    """The longest entry of each place, which is where a section begins and ends, over all CPUs; the longest place first."""
    places = {}
    for entry in entries:
        place = tuple(chain[0] if chain else '' for chain in entry[4:6])
        if place not in places or entry[1] > places[place][1]:
            places[place] = entry
    return sorted(places.values(), key=lambda entry: -entry[1])


def function_of(place):
    return place.split('+', 1)[0]


def show_chain(word, chain, lines):
    """A chain, innermost function first: one line, or one for each function with its offset."""
    if lines:
        for i, place in enumerate(chain):
            print(f'      {word if i == 0 else "":<5}  {place}')
    else:
        print(textwrap.fill(' < '.join(map(function_of, chain)) or '?', width=WIDTH, initial_indent=f'      {word:<5}  ',
                            subsequent_indent=' ' * 13))


def show(cpus, kinds, cyclic, worst, lines):
    """The table of one machine; the longest irqsoff or preemptoff section."""
    print(f'{cpus} CPU{"s" if cpus > 1 else ""}\n  {"section":<10} {"longest":>9} {"unit":<12} {"cpu":<3} {"who":<15} from .. to')
    longest = 0
    for kind in KINDS:
        places = worst_places(kinds.get(kind, []))
        if kind != 'wakeup' and places:
            longest = max(longest, places[0][1])
        for cpu, length, unit, comm, begin, end in places[:worst]:
            if unit != 'instructions':
                raise CommandError('the machine did not count: is the plugin in it?')
            ends = ' .. '.join(function_of(chain[0]) if chain else '?' for chain in (begin, end))
            print(f'  {kind:<10} {length:>9,} {unit:<12} {cpu:<3} {comm:<15} {ends}')
            show_chain('begin', begin, lines)
            show_chain('end', end, lines)
    for line in cyclic:
        print(f'  cyclictest {line}')
    return longest


def main(args):
    options = parser().parse_args(args)
    try:
        machines = [int(n) for n in options.cpus.split(',')]
    except ValueError as error:
        raise CommandError('--cpus: numbers with commas between them', 2) from error
    if not options.no_build:
        deps.ensure()
        build_variant()
    print(f'Longest sections in {options.seconds} s under stress-ng {options.load}; limit {LIMIT:,} instructions')
    longest = 0
    for cpus in machines:
        kinds, cyclic = parse_output(run_machine(options, cpus))
        longest = max(longest, show(cpus, kinds, cyclic, options.worst, options.chains))
        sys.stdout.flush()
    if longest == 0:
        raise CommandError('nothing was measured')
    print(f'longest: {longest:,} instructions')
    return 1 if options.check and longest > LIMIT else 0
