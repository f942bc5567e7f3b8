"""CPUs that stay off at boot, go and come back while the system runs, and nothing is lost by it."""
from boottest import Case, artifact, expect, expect_lines, run, tail
from exec_test import execute

CPUS = '/sys/devices/system/cpu'
CYCLES = 25  # one to three CPUs each


def command(text, *options, append=''):
    status, out, err = execute(text, '--append', append, *options, '--', '-smp', '4')
    text = out.decode('utf-8', 'replace')
    expect(status == 0, f'status {status}:\n{tail(text)}\n{tail(err.decode())}')
    return text


def load():
    """Locks, futexes, pipes, pages, timers and processes, pinned and not, while CPUs go and come."""
    text = command(f'exec /hotplug {CYCLES}', '--add', artifact('test', 'boot', 'hotplug') + ':/hotplug')
    expect_lines(text, *[f'^ok {what}$' for what in ('counter', 'futex', 'pipe', 'pages', 'sleep', 'timer', 'children', 'all back')])


def told():
    """Everything that tells of CPUs tells of those that are online; the files of one that is not are gone."""
    text = command(f'''cd {CPUS}; show() {{ echo $1 $(cat online) $(cat offline) $(nproc) $(grep -c ^processor /proc/cpuinfo) $(grep -c ^cpu[0-9] /proc/stat) \\
            $(cat cpu2/online) $(cd cpu2; echo *) $(cat cpu0/topology/core_siblings_list); }}
        show before; echo 0 >cpu2/online; echo $?; show off; echo 0 >cpu2/online; echo $?; echo on >cpu2/online; echo $?; show on
        echo 1 >cpu2/online; echo $?; (echo 2 >cpu2/online) 2>&1; test -e cpu0/online; echo $?''')
    there, gone = 'cache node0 online topology', 'node0 online'
    expect_lines(text, rf'^before 0-3 4 4 4 1 {there} (0|0-3)$', rf'^off 0-1,3 2 3 3 3 0 {gone} (0|0-1,3)$', rf'^on 0-3 4 4 4 1 {there} (0|0-3)$', 'Invalid argument')
    lines = [line for line in text.splitlines() if line in ('0', '1')]
    expect(lines == ['0', '0', '0', '0', '1'], f'statuses {lines}')


def fewer():
    """maxcpus= leaves CPUs off that may come later, nr_cpus= knows no more than so many."""
    text = command(f'cd {CPUS}; cat online offline possible; ls cpu3; for i in 3 2; do echo 1 >cpu$i/online; cat online; done; ls cpu3; nproc', append='maxcpus=2')
    expect(text.split() == ['0-1', '2-3', '0-3', 'node0', 'online', '0-1,3', '0-3', 'cache', 'node0', 'online', 'topology', '4'], text)
    text = command(f'cd {CPUS}; cat online possible present; nproc; ls -d cpu[0-9]*', append='nr_cpus=2')
    expect(text.split() == ['0-1', '0-1', '0-1', '2', 'cpu0', 'cpu1'], text)


run([Case('under load', load), Case('what is told', told), Case('fewer from the start', fewer)])
