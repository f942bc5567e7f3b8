"""Memory that runs out, in the ways a program can think of: whoever has most is killed, the shell lives, and the memory comes back."""
import re

from boottest import Case, artifact, detectors, expect, run, tail
from exec_test import execute

KEPT_KB = 16384 if detectors() else 4096  # what caches may keep of it, and the quarantine of freed memory
SWAP = 'echo 512M >/sys/block/zram0/disksize; mkswap /dev/zram0 >/dev/null; swapon /dev/zram0; '


def machine(mib):
    """Of a machine with so much memory programs get about the same with detectors: an eighth is the shadow, the rest is for call chains."""
    return f'{mib * 8 // 7 + 8 if "kasan" in detectors() else mib}M'


def under_pressure(way, mib=256, prepare=''):
    """(what the program said, the log) after it ran in a machine of its own, whose shell lived and which has its memory back."""
    program = artifact('test', 'boot', 'pressure')
    # What the dead leave to init is freed when that comes to it: on a busy machine, many seconds later.
    command = f'''free() {{ awk '/MemFree/ {{ print $2 }}' /proc/meminfo; }}
        {prepare}before=$(free); echo free $before; setsid /pressure {way} 2>&1; echo status $?
        for i in $(seq 100); do sleep 1; after=$(free); test $after -gt $((before - {KEPT_KB})) && break; done; echo free $after
        echo log; dmesg; grep -E "^(oom_kill|pswp|pgscan|pgsteal)" /proc/vmstat; cat /proc/pressure/memory'''
    status, out, err = execute(command, '--mem', machine(mib), '--add', f'{program}:/pressure')
    text = out.decode('utf-8', 'replace')
    parts = re.fullmatch(r'free (\d+)\n(.*)status \d+\nfree (\d+)\nlog\n(.*)', text, re.S)
    expect(status == 0 and parts is not None, f'status {status}:\n{tail(text)}\n{tail(err.decode())}')
    lost = int(parts[1]) - int(parts[3])
    expect(lost < KEPT_KB, f'{lost} kB did not come back:\n{tail(text)}')
    return parts[2].strip(), parts[4]


def hog(mib):
    """4 GiB of what does not compress: killed, with a clear log."""
    said, log = under_pressure('hog', mib)
    expect(said in ('', 'Killed'), said)
    expect(re.search(r'pressure invoked oom-killer: order=0', log), tail(log))
    expect(re.search(r'\[ +\d+\] +0 +\d+ +\d{7} .* 0 pressure\n', log), f'no table of tasks:\n{tail(log)}')
    expect(re.search(r'Out of memory: Killed process \d+ \(pressure\) total-vm:\d{7}kB, anon-rss:\d+kB, file-rss:', log), tail(log))
    expect('oom_kill 1\n' in log, tail(log))


def figures(log):
    """The counters of /proc/vmstat at the end, as far as they hang together."""
    now = {name: int(value) for name, value in re.findall(r'^(\w+) (\d+)$', log, re.M)}
    for what in ('pgscan', 'pgsteal'):
        expect(now[what + '_kswapd'] + now[what + '_direct'] == now[what + '_anon'] + now[what + '_file'], f'{now}')
    expect(now['pgsteal_anon'] <= now['pgscan_anon'] and now['pgsteal_file'] <= now['pgscan_file'], f'{now}')
    return now


def squeeze():
    """400 MiB of what compresses well, in 256 MiB."""
    said, log = under_pressure('squeeze', prepare=SWAP)
    now = figures(log)
    expect(said == '400 MiB as written' and now['oom_kill'] == 0, f'{said}, {now}')
    expect(re.search('^some avg10=.* total=[1-9][0-9]*$', log, re.M), f'no pressure:\n{tail(log)}')
    expect(now['pgscan_anon'] >= now['pswpout'] > 150 << 8 and now['pswpin'] > 150 << 8 and now['pgsteal_anon'] > 150 << 8, f'{now}')


def squeezed_hog():
    """4 GiB of what does not compress: swap puts it off."""
    said, log = under_pressure('hog', prepare=SWAP)
    now = figures(log)
    expect(said in ('', 'Killed') and now['oom_kill'] == 1 and now['pswpout'] > 1000, f'{said}, {now}')


def places():
    """Where pages only come in each other's place, somebody has to go as well."""
    said, log = under_pressure('thrash', prepare=SWAP)
    expect(said == '8 of 8 killed' and figures(log)['oom_kill'] == 8, said)


def off():
    """swapoff brings everything back."""
    said, log = under_pressure('swapoff', prepare=SWAP)
    now = figures(log)
    expect(re.fullmatch(r'32\d{3} kB out, swapoff 0, then 0 kB, as written and as written\nchild 0 kB out, as written', said), said)
    expect(now['pswpin'] >= 64 << 8, f'{now}')


def slots():
    """What is told of swapped pages, and SHM_LOCK."""
    said, _ = under_pressure('slots', prepare=SWAP)
    expect(said == '32 slots, locked 0 out, unlocked 32 out, as written and as written', said)


def swapped():
    """Whoever has most is killed, be it in swap."""
    said, log = under_pressure('swapped', prepare=SWAP)
    expect(said == 'who is in swap killed', f'{said}\n{tail(log)}')
    # Of the table of tasks: pages that are resident, the tables' bytes, pages in swap.
    expect(re.search(r'\[ +\d+\] +0 +\d+ +\d+ +\d{1,4} +\d+ +16\d{3} +0 pressure\n', log), f'no line of it:\n{tail(log)}')
    expect(re.search(r'Total swap = 524\d{3}kB\n', log), tail(log))


def sparse():
    """Page tables alone."""
    said, log = under_pressure('sparse')
    expect(said in ('', 'Killed') and re.search(r'Killed process \d+ \(pressure\).* anon-rss:\d{1,3}kB.* pgtables:\d{6}kB', log), tail(log))


def adjusted():
    """oom_score_adj: 900 goes first, -1000 never."""
    said, _ = under_pressure('adjusted')
    expect(said == 'dear -1 plain -1 cheap 9 more -1\nKilled', said)


def together():
    """Who shares the victim's memory ends with it."""
    said, _ = under_pressure('together')
    expect(said == 'first 9 other 0 more -1', said)


def stuck():
    """A victim that waits for whoever waits for memory loses its memory all the same."""
    said, log = under_pressure('stuck')
    expect(said == 'wrote 115 MiB, victim 9', said)
    expect(re.search(r'oom_reaper: reaped process \d+ \(pressure\), now anon-rss:\d{1,3}kB', log), tail(log))


def nobody():
    """Where nobody may be killed, who needs memory waits for it."""
    said, log = under_pressure('unkillable', prepare='echo -1000 >/proc/$$/oom_score_adj; ')
    expect(said == 'all touched, waited 1, helper 0', said)
    expect('Out of memory and no killable processes' in log, tail(log))


def files():
    """A file system in memory is full before memory is."""
    said, log = under_pressure('files')
    expect(said == 'full after many files' and 'oom_kill 0' in log, said)


def bombs():
    """fork(2) fails before memory does, for root and for a user."""
    for way in ('bomb', 'user-bomb'):
        said, log = under_pressure(way, 128)
        expect(said == 'Resource temporarily unavailable after many processes\nKilled' and 'oom_kill 0' in log, said)


def pipes():
    """What a user's pipes hold is limited."""
    said, log = under_pressure('pipes')
    expect(said == 'No file descriptors available with less than 80 MiB in many pipes' and 'oom_kill 0' in log, said)


def told_to_panic():
    program = artifact('test', 'boot', 'pressure')
    status, out, err = execute('echo 1 >/proc/sys/vm/panic_on_oom; /pressure hog', '--mem', machine(128), '--add', f'{program}:/pressure')
    expect(status == 125 and b'panic: Out of memory' in err, f'status {status}, {out}:\n{tail(err.decode())}')


def whoever_asks():
    """oom_kill_allocating_task: not the largest, but the one at the end of its luck."""
    said, log = under_pressure('adjusted', prepare='echo 1 >/proc/sys/vm/oom_kill_allocating_task; echo 0 >/proc/sys/vm/oom_dump_tasks; ')
    expect(said == 'dear -1 plain -1 cheap -1 more 9\nKilled', said)
    expect('Tasks state' not in log, 'a table that nobody wanted')


if __name__ == '__main__':
    run([
        Case('a hog in 256 MiB', hog, 256),
        Case('a hog in 64 MiB', hog, 64),
        Case('compressible memory in swap', squeeze),
        Case('a hog with swap', squeezed_hog),
        Case('pages that change places', places),
        Case('swapoff', off),
        Case('places in swap', slots),
        Case('who is in swap', swapped),
        Case('page tables', sparse),
        Case('oom_score_adj', adjusted),
        Case('two processes with one space', together),
        Case('a victim that is stuck', stuck),
        Case('nobody to kill', nobody),
        Case('files without content', files),
        Case('processes', bombs),
        Case('pipes', pipes),
        Case('panic_on_oom', told_to_panic),
        Case('oom_kill_allocating_task', whoever_asks),
    ])
