"""What the kernel shows of its memory beyond what Linux shows too (test/abi has that), and what may be set under /proc/sys/vm."""
import re
import struct

from boottest import Case, Skipped, detectors, expect, run, tail
from exec_test import execute


def said_by(command, *options):
    status, out, err = execute(command, *options)
    text = out.decode('utf-8', 'replace')
    expect(status == 0, f'status {status}:\n{tail(text)}\n{tail(err.decode())}')
    return text


def fault_table():
    """The tool's table has who ran meanwhile, with the kinds it had; the log is off before and after."""
    log = '/sys/kernel/debug/faults'
    text = said_by(f'head -n 1 {log}; (until head -n 1 {log} | grep -q on; do sleep 0.1; done; cat /etc/passwd >/dev/null) & faults -n 3 -c 1; head -n 1 {log}; echo 2 > {log} || echo refused')
    expect(text.startswith('# off\n') and text.endswith('# off\nrefused\n'), tail(text))
    row = re.search(r'^ +\d+ cat +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)', text, re.M)
    expect(row is not None, f'no row of cat:\n{tail(text)}')
    total, _, anon, copied, _, file = (int(figure) for figure in row.groups())
    expect(total > 20 and anon > 0 and copied > 0 and file > 10, row[0])


def fault_lines():
    """Each fault in a line of its own, in the order of time; the log stays on for whoever had switched it on."""
    text = said_by('echo 1 > /sys/kernel/debug/faults; (sleep 0.5; for i in 1 2 3 4; do ls / | cat; done >/dev/null) & faults -l -n 4 -c 1; head -n 1 /sys/kernel/debug/faults', '--smp', '4')
    times = [float(time) for time in re.findall(r'^ *([0-9.]+) cpu\d +\d+ \w+ +[rwx] [0-9a-f]+ at [0-9a-f]+ \w+ +\d+ ns$', text, re.M)]
    expect(len(re.findall(r' ls +[rwx] ', text)) > 10 and times == sorted(times), tail(text))
    expect(text.endswith('# on\n'), tail(text))


def promises():
    """Mode 2 of overcommit keeps to its limit, which /proc/meminfo tells."""
    text = said_by('cd /proc/sys/vm; echo 2 > overcommit_memory; echo 40000 > overcommit_kbytes; cat overcommit_ratio; grep -i commit /proc/meminfo;'
                   'dd if=/dev/zero of=/dev/null bs=50M count=1 2>&1; dd if=/dev/zero of=/dev/null bs=10M count=1 2>&1; echo 3 > overcommit_memory || echo refused')
    expect(re.match(r'0\nCommitLimit: +40000 kB\nCommitted_AS: +\d{3,4} kB\ndd: out of memory\n1\+0 .*refused\n$', text, re.S), tail(text))


def settings():
    """What is set is what is read; what is out of bounds is refused."""
    text = said_by('cd /proc/sys/vm; echo 9000 > min_free_kbytes; echo 77777 > max_map_count; echo 150 > watermark_scale_factor;'
                   'cat min_free_kbytes max_map_count watermark_scale_factor; for f in swappiness:201 overcommit_memory:3 nr_hugepages:1 drop_caches:0 mmap_rnd_bits:27 mmap_rnd_bits:33 lowmem_reserve_ratio:x;'
                   'do echo ${f#*:} 2>/dev/null > ${f%:*} || echo refused; done; echo 3 > drop_caches; echo 100 -1 > lowmem_reserve_ratio; cat lowmem_reserve_ratio; echo 32 > mmap_rnd_bits; cat mmap_rnd_bits')
    expect(text == '9000\n77777\n150\n' + 7 * 'refused\n' + '100\t0\t32\n32\n', tail(text))


def frames():
    """What /proc/kpageflags says of every frame, added up, is what the allocator says."""
    status, out, err = execute('cat /proc/kpageflags; cat /proc/vmstat')
    at = out.find(b'nr_free_pages')
    expect(status == 0 and at > 0 and at % 8 == 0, f'status {status}, {len(out)} bytes {err}')
    words = struct.unpack(f'<{at // 8}Q', out[:at])
    figures = {name: int(value) for name, value in (line.split() for line in out[at:].decode().splitlines())}
    for name, bit, within in (('nr_free_pages', 10, 300), ('nr_slab_unreclaimable', 7, 60), ('nr_page_table_pages', 26, 40), ('nr_anon_pages', 12, 60)):
        counted = sum(word >> bit & 1 for word in words)
        told = figures[name] + (figures['nr_slab_reclaimable'] if bit == 7 else 0)
        expect(abs(counted - told) <= within and counted > 0, f'{name}: {told}, counted {counted}')


def small():
    """At the shell of a machine with 512 MiB at most 14 MiB are used: by what free(1) calls used, and of all there is, with the kernel's image."""
    if detectors():
        raise Skipped('detectors take more')
    text = said_by('free; cat /proc/meminfo', '--mem', '512M')
    rows = {line.split()[0]: [int(figure) for figure in re.findall(r'\d+', line)] for line in text.splitlines()[1:]}
    used, gone = rows['Mem:'][1], 512 * 1024 - rows['MemFree:'][0]
    print(f'# used: {used} KiB by free, {gone} KiB of the machine')
    expect(0 < used < gone <= 14 * 1024, f'{used} KiB used by free, {gone} KiB of the machine')


def dirty_limits():
    """Of ratio and bytes the one that was set last holds; bounds are Linux's."""
    text = said_by('cd /proc/sys/vm; for f in dirty_*; do echo $f $(cat $f); done; echo 7 > dirty_background_ratio; echo 0 > dirty_expire_centisecs;'
                   'for v in ratio:101 bytes:8191 background_ratio:-1 background_bytes:0 expire_centisecs:-1; do echo ${v#*:} 2>/dev/null > dirty_${v%:*} || echo refused; done;'
                   'echo 40960 > dirty_bytes; grep dirty_thr /proc/vmstat; cat dirty_ratio dirty_bytes dirty_background_ratio; echo 30 > dirty_ratio; cat dirty_ratio dirty_bytes')
    expect(text == 'dirty_background_bytes 0\ndirty_background_ratio 10\ndirty_bytes 0\ndirty_expire_centisecs 3000\ndirty_ratio 20\ndirty_writeback_centisecs 500\n'
           + 5 * 'refused\n' + 'nr_dirty_threshold 10\n0\n40960\n7\n30\n0\n', tail(text))


if __name__ == '__main__':
    run([
        Case('page faults, as a table', fault_table),
        Case('page faults, line by line', fault_lines),
        Case('promises of memory are kept', promises),
        Case('settings of memory', settings),
        Case('limits of dirty memory', dirty_limits),
        Case('frames by their flags', frames),
        Case('a small machine', small),
    ])
