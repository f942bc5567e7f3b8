"""What Debian's programs tell of the machine's CPUs, on as many as QEMU is told to have: lscpu, nproc, taskset, chrt, htop, python3 and /proc."""
import re

from suite import archive, on_linnet, tail

from boottest import Case, Failed, expect, run  # noqa: E402  (suite.py shows the way)

PACKAGES = ['htop', 'python3-minimal']
# (sockets, cores of each, threads of each core)
MACHINES = [(1, 1, 1), (1, 2, 1), (2, 2, 1), (1, 4, 2), (2, 16, 2)]
SCRIPT = r'''
export LC_ALL=C TERM=vt100
show() { echo "== $1"; shift; "$@" 2>&1; }
last=$(($(nproc --all) - 1))
show lscpu lscpu
show topology lscpu -p=cpu,core,socket,node,online
show nproc nproc
show 'nproc --all' nproc --all
show online getconf _NPROCESSORS_ONLN
show configured getconf _NPROCESSORS_CONF
show affinity sh -c 'taskset -cp $$ | cut -d " " -f 6'
show 'on the last' taskset -c $last sh -c 'nproc; awk "{print \$39}" /proc/self/stat; taskset -cp $$ | cut -d " " -f 6'
show 'on all' taskset -c 0-$last nproc
show 'behind the last' sh -c "taskset -c $((last + 1)) true 2>/dev/null || echo refused"
show 'in real time' chrt -f 10 taskset -c $last sh -c 'chrt -p $$ | cut -d " " -f 6; awk "{print \$39}" /proc/self/stat'
show cpuinfo grep -c ^processor /proc/cpuinfo
show stat grep -c ^cpu[0-9] /proc/stat
show schedstat grep -c ^cpu[0-9] /proc/schedstat
show interrupts awk 'NR == 1 {print NF}' /proc/interrupts
show sysfs cat /sys/devices/system/cpu/online /sys/devices/system/cpu/present
cat >/tmp/each.py <<'P'
import os, threading

def run(cpu):
    os.sched_setaffinity(0, {cpu})
    with open('/proc/thread-self/stat') as stat:
        ran.append(int(stat.read().rpartition(')')[2].split()[36]))

ran, cpus = [], sorted(os.sched_getaffinity(0))
threads = [threading.Thread(target=run, args=(cpu,)) for cpu in cpus]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(os.cpu_count(), cpus == list(range(len(cpus))), sorted(ran) == cpus)
P
show 'a thread on each' python3 /tmp/each.py
show htop sh -c 'echo q | script -qc "stty rows 60 cols 250; htop -d 1" /dev/null'
echo; echo '== end'
'''


def list_of(count):
    return '0' if count == 1 else f'0-{count - 1}' if count != 2 else '0,1'


def told(sockets, cores, threads):
    """{heading: lines} of what the machine's programs say."""
    smp = f'{sockets * cores * threads},sockets={sockets},cores={cores},threads={threads}'
    archive(PACKAGES)
    status, out, err = on_linnet(SCRIPT, 400, '--smp', smp, packages=PACKAGES)
    text = out.decode(errors='replace').replace('\r', '')
    if '== end' not in text:
        raise Failed(f'status {status}, it did not come to its end:\n{tail(text)}\n{tail(err.decode(errors="replace"))}')
    return dict(re.findall(r'^== (.*)\n((?:.*\n)*?)(?=^== )', text, re.MULTILINE))


def tells_the_truth(sockets, cores, threads):
    count = sockets * cores * threads
    parts = told(sockets, cores, threads)
    table = dict(re.findall(r'^(.*?): +(.*)$', parts['lscpu'], re.MULTILINE))
    for name, value in (('CPU(s)', count), ('On-line CPU(s) list', list_of(count)), ('Thread(s) per core', threads), ('Core(s) per socket', cores),
                        ('Socket(s)', sockets), ('NUMA node0 CPU(s)', list_of(count))):
        expect(table.get(name) == str(value), f'lscpu: {name}: {table.get(name)}, not {value}')
    rows = [line.split(',') for line in parts['topology'].splitlines() if not line.startswith('#')]
    expect([row[0] for row in rows] == [str(cpu) for cpu in range(count)], f'lscpu -p: {rows}')
    expect(len({row[1] for row in rows}) == sockets * cores and len({row[2] for row in rows}) == sockets, f'lscpu -p: {rows}')
    line = f'{count}\n'
    last = f'{count - 1}\n'
    span = list_of(count) + '\n'
    expected = {'nproc': line, 'nproc --all': line, 'online': line, 'configured': line, 'affinity': span, 'on the last': f'1\n{last}{last}', 'on all': line,
                'behind the last': 'refused\n', 'in real time': f'SCHED_FIFO\n10\n{last}', 'cpuinfo': line, 'stat': line, 'schedstat': line,
                'interrupts': line, 'sysfs': f'{kernel_list(count)}\n' * 2, 'a thread on each': f'{count} True True\n'}
    for name, value in expected.items():
        expect(parts[name] == value, f'{name}: {parts[name]!r}, not {value!r}')
    meters = {int(number) for number in re.findall(r'(\d+)\x1b\[0;1m\x0f?\[', parts['htop'])}
    expect(meters == set(range(count)) if count > 1 else 'CPU' in parts['htop'], f'htop shows meters of {sorted(meters)}')


def kernel_list(count):
    """As the kernel writes lists, who has no special form for two."""
    return '0' if count == 1 else f'0-{count - 1}'


def main():
    run([Case(f'{sockets * cores * threads} CPUs: sockets={sockets}, cores={cores}, threads={threads}', tells_the_truth, sockets, cores, threads)
         for sockets, cores, threads in MACHINES])


if __name__ == '__main__':
    main()
