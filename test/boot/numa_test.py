"""A machine with four NUMA nodes: what the firmware says of them is shown, and memory comes from where policies say."""
import re

from boottest import Case, artifact, expect, expect_lines, run, tail
from exec_test import execute

NODES = 4
NODE_MIB = 64
# Node 1 is nearest to node 0; all different, so that an order can be told.
DISTANCES = [[10, 12, 16, 20], [12, 10, 18, 22], [16, 18, 10, 14], [20, 22, 14, 10]]


def machine():
    """QEMU's options: memory for each node, one CPU on node 0, distances."""
    options = []
    for node in range(NODES):
        options += ['-object', f'memory-backend-ram,id=m{node},size={NODE_MIB}M',
                    '-numa', f'node,nodeid={node},memdev=m{node}' + (',cpus=0' if node == 0 else '')]
    for src in range(NODES):
        for dst in range(NODES):
            if src != dst:
                options += ['-numa', f'dist,src={src},dst={dst},val={DISTANCES[src][dst]}']
    return options


def nodes():
    """Figures below /sys/devices/system/node, and placement by every policy."""
    command = '''cd /sys/devices/system/node; for f in online possible has_memory has_cpu node*/cpulist node*/distance; do echo $f: $(cat $f); done
        grep MemTotal node*/meminfo; grep Mems_allowed_list /proc/self/status; grep interleave_hit node*/numastat
        echo 100M >/sys/block/zram0/disksize; mkswap /dev/zram0 >/dev/null; swapon /dev/zram0; /numa
        grep interleave_hit node*/numastat; dmesg | grep -ci warn; echo end'''
    status, out, err = execute(command, '--mem', f'{NODES * NODE_MIB}M', '--add', artifact('test', 'boot', 'numa') + ':/numa', '--smp', '1', '--', *machine())
    text = out.decode('utf-8', 'replace')
    expect(status == 0 and text.endswith('end\n'), f'status {status}:\n{tail(text, 60)}\n{tail(err.decode())}')
    expect_lines(text, '^online: 0-3$', '^possible: 0-3$', '^has_memory: 0-3$', '^has_cpu: 0$', '^node0/cpulist: 0$', '^node1/cpulist:$',
                 '^Mems_allowed_list:\t0-3$', '^0$',
                 *[f'^node{node}/distance: {" ".join(map(str, DISTANCES[node]))}$' for node in range(NODES)],
                 *[f'^node{node}/meminfo:Node {node} MemTotal: +(5|6)[0-9]{{4}} kB$' for node in range(1, NODES)])
    expect_lines(text, *[f'^ok {name}$' for name in
                         ('regions', 'thread', 'shared', 'huge', 'move_pages', 'mbind_move', 'migrate_pages', 'lists', 'full_node')])
    expect_lines(text, '^node3/numastat:interleave_hit 0$', '^node3/numastat:interleave_hit [1-9][0-9]{2}$')


def storm():
    """Programs run as ever while all their pages go from node to node."""
    command = '''/numa storm & storm=$!; for i in 1 2 3 4 5 6 7 8; do seq 1 20000 | md5sum; done | sort | uniq -c; kill $storm
        grep pgmigrate_success /proc/vmstat'''
    status, out, err = execute(command, '--mem', f'{NODES * NODE_MIB}M', '--add', artifact('test', 'boot', 'numa') + ':/numa', '--', *machine())
    text = out.decode('utf-8', 'replace')
    moved = re.fullmatch(r' +8 e071f707df7bbeee2a6a1eb48011ddd0  -\npgmigrate_success (\d+)\n', text)
    expect(status == 0 and moved is not None, f'status {status}:\n{tail(text)}\n{tail(err.decode())}')
    expect(int(moved[1]) > 300, f'{moved[1]} pages moved')


def cpus():
    """Each CPU's node is what getcpu says, by a system call and without."""
    options = ['-object', 'memory-backend-ram,id=m0,size=256M', '-object', 'memory-backend-ram,id=m1,size=256M',
               '-numa', 'node,nodeid=0,memdev=m0,cpus=0-1', '-numa', 'node,nodeid=1,memdev=m1,cpus=2-3']
    status, out, err = execute('/test vdso; s=$?; ls -d /sys/devices/system/cpu/cpu[03]/node*; exit $s', '--mem', '512M', '--smp', '4',
                               '--add', artifact('test', 'abi', 'abi') + ':/test', '--', *options)
    text = out.decode('utf-8', 'replace')
    expect(status == 0, f'status {status}:\n{tail(text)}\n{tail(err.decode())}')
    expect_lines(text, '^/sys/devices/system/cpu/cpu0/node0$', '^/sys/devices/system/cpu/cpu3/node1$')


run([Case('four nodes', nodes), Case('storm', storm), Case('cpus of two nodes', cpus)])
