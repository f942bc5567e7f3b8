"""Swap space and zram devices, as an administrator sets them up with busybox's tools."""
import re

from boottest import Case, expect, run, tail
from exec_test import execute

SYS = '/sys/block/zram0'


def shell(script, *options):
    """What a shell in a fresh machine prints, both streams together."""
    status, out, err = execute(f'( {script} ) 2>&1', '--mem', '256M', *options)
    text = out.decode('utf-8', 'replace')
    expect(status == 0, f'status {status}:\n{tail(text)}\n{tail(err.decode())}')
    return text


def has(text, *patterns):
    for pattern in patterns:
        expect(re.search(pattern, text, re.M), f'no /{pattern}/ in:\n{tail(text)}')


def setup():
    """mkswap, swapon, figures everywhere, swapoff, reset."""
    text = shell(f'''echo 64M > {SYS}/disksize; mkswap /dev/zram0; swapon -d /dev/zram0; cat /proc/swaps; grep Swap /proc/meminfo; free
        swapon /dev/zram0; echo 1 > {SYS}/reset; swapoff /dev/zram0; echo off $?; cat /proc/swaps; swapoff /dev/zram0
        echo 1 > {SYS}/reset; cat {SYS}/disksize; true''')
    has(text, r'^Setting up swapspace version 1, size = 67104768 bytes$',
        r'^/dev/zram0 {30}partition\t65532\t\t0\t\t-2$',
        r'^SwapTotal: +65532 kB$', r'^SwapFree: +65532 kB$', r'^Swap: +65532 +0 +65532$',
        r'^swapon: /dev/zram0: Device or resource busy$', r'write error: Device or resource busy$',
        r'^off 0\nFilename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\nswapoff: /dev/zram0: Invalid argument\n0\n')


def priorities():
    """Several devices: the default priority falls, sizes add up."""
    text = shell('''for i in 0 1 2; do echo 8M > /sys/block/zram$i/disksize; mkswap /dev/zram$i > /dev/null; done
        for i in 2 0 1; do swapon /dev/zram$i; done; cat /proc/swaps; grep SwapTotal /proc/meminfo
        for i in 0 1 2; do swapoff /dev/zram$i; done; ls /sys/block; cat /proc/partitions; true''', '--append', 'zram.num_devices=3')
    has(text, r'^/dev/zram2 +partition\t8188\t\t0\t\t-2\n/dev/zram0 +partition\t8188\t\t0\t\t-3\n/dev/zram1 +.*-4$', r'^SwapTotal: +24564 kB$', r'^zram0\nzram1\nzram2$', r'^ 253 +2 +8192 zram2$')


def headers():
    """What has no header, a damaged one or one of a larger device is refused."""
    text = shell(f'''echo 1M > {SYS}/disksize; swapon /dev/zram0; mkswap /dev/zram0 > /dev/null
        printf X | dd of=/dev/zram0 bs=1 seek=4090 2> /dev/null; swapon /dev/zram0
        mkswap /dev/zram0 > /dev/null; dd if=/dev/zram0 of=/header bs=4096 count=1 2> /dev/null; echo 1 > {SYS}/reset
        echo 512K > {SYS}/disksize; cat /header > /dev/zram0; swapon /dev/zram0; cp /dev/zram0 /file; mkswap /file > /dev/null; swapon /file; true''')
    expect(text.count('swapon: /dev/zram0: Invalid argument\n') == 3, tail(text))
    has(text, r'^swapon: /file: Invalid argument$')


def content():
    """A device gives back what was written, in whatever pieces, and takes memory as it compresses."""
    text = shell(f'''echo 8M > {SYS}/disksize; seq 1 400000 > /data; dd if=/data of=/dev/zram0 bs=777 seek=3 conv=notrunc 2> /dev/null
        size=$(stat -c %s /data); dd if=/dev/zram0 bs=777 skip=3 2> /dev/null | head -c $size | cmp - /data && echo same
        cat {SYS}/mm_stat; dd if=/dev/urandom of=/dev/zram0 bs=64K count=16 2> /dev/null; cat {SYS}/mm_stat
        dd if=/dev/zero of=/dev/zram0 bs=1M 2>&1 | head -1; cat {SYS}/mm_stat
        blockdev --getsize64 /dev/zram0; blockdev --getss /dev/zram0; dd if=/dev/zero of=/dev/zram0 bs=4096 seek=2048 count=1 2>&1 | head -1; true''')
    stats = [list(map(int, line)) for line in re.findall(r'^' + r' *(\d+)' * 9 + '$', text, re.M)]
    expect(len(stats) == 3, tail(text))
    numbers, noise, zeros = stats
    expect(numbers[1] < numbers[0] * 0.65 and numbers[2] < numbers[1] * 1.1, f'{numbers} with numbers')
    expect(noise[7] == 256 and noise[2] > 1 << 20, f'{noise} with noise')
    expect(zeros[0] == 8 << 20 and zeros[1] == zeros[2] == 0 and zeros[5] == 2048, f'{zeros} with zeros')
    has(text, r'^same$', r'^dd: error writing .*/dev/zram0.*: No space left on device$', r'^8388608\n4096$')


def limits():
    """mem_limit is kept, attributes refuse nonsense."""
    text = shell(f'''echo 2 > {SYS}/reset; echo 0 > {SYS}/disksize; echo lzo > {SYS}/comp_algorithm; echo lz4 > {SYS}/comp_algorithm
        cat {SYS}/comp_algorithm; echo 8M > {SYS}/disksize; echo 8M > {SYS}/disksize; echo 1M > {SYS}/mem_limit
        dd if=/dev/urandom of=/dev/zram0 bs=64K count=32 2>&1 | head -1; cat {SYS}/mm_stat; echo 1 > {SYS}/compact; echo compacted $?
        echo 1 > {SYS}/reset; cat {SYS}/mm_stat; cat {SYS}/reset; true''')
    has(text, r'^\[lz4\] $', r'^dd: error writing .*/dev/zram0.*: I/O error$|Input/output error$', r'^compacted 0$',
        r'^( +0){9}$', r'^ *1\d{6} +1\d{6} +1048576 +1048576 +1048576')
    expect(text.count('write error: Invalid argument') == 2, tail(text))
    expect(text.count('write error: Device or resource busy') == 1, tail(text))


if __name__ == '__main__':
    run([
        Case('swap set up and taken down', setup),
        Case('swap priorities', priorities),
        Case('swap headers', headers),
        Case('zram content', content),
        Case('zram limits', limits),
    ])
