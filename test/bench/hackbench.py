"""
hackbench on Linux and on Linnet: instructions on one CPU, and wall time on two, in turns, since the machine beneath is not quiet. cyclictest, which
mostly sleeps: instructions only.
"""
import os
import re
import statistics

import counts
import debian
import guests

ROWS = [f'hackbench_{kind}_{groups}' for groups in (4, 8) for kind in ('pipe', 'pipe_threads', 'socket', 'socket_threads')]
CYCLICTEST = 'cyclictest'
PROGRAMS = ['hackbench', CYCLICTEST]
PACKAGES = ['rt-tests', 'libc6', 'libnuma1']
LIBRARIES = ['libc.so.6', 'libpthread.so.0', 'librt.so.1', 'libnuma.so.1', 'ld-linux-x86-64.so.2']

# What the project promises of the geometric means; each row's ratio is shown.
INSTRUCTIONS_LIMIT = 0.7
TIME_LIMIT = 1.0
TIMED_CPUS = 2


def library(root, name):
    """The file of a library, in either of the folders that packages put them in."""
    places = [os.path.join(root, above, 'lib', 'x86_64-linux-gnu', name) for above in ('', 'usr')]
    return os.path.realpath(next(path for path in places if os.path.exists(path)))


def archive_items(folder):
    """The programs and the libraries they need, from Debian's packages, as items of mkcpio.py."""
    root = debian.unpacked(folder, PACKAGES)
    return ([f'{root}/usr/bin/{name}:/usr/bin/{name}' for name in PROGRAMS] +
            ['link:/lib64/ld-linux-x86-64.so.2:/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'] +
            [f'{library(root, name)}:/lib/x86_64-linux-gnu/{name}' for name in LIBRARIES])


def count_instructions(guest, plugin, initramfs, folder):
    """{row: figures} of a guest."""
    return guests.run_rows(guest, plugin, initramfs, folder, [*ROWS, CYCLICTEST], 1)[0]


def measure_times(pair, initramfs, folder, runs):
    """[{row: [seconds of each sample]}] of the guests, which take turns."""
    times = [{}, {}]
    for _ in range(runs):
        for guest, column in zip(pair, times):
            for name, samples in guests.run_times(guest, initramfs, folder, ROWS, 2, TIMED_CPUS).items():
                column.setdefault(name, []).extend(samples)
    return times


def instruction_ratio(rows, name):
    """Linnet's instructions to Linux's, user and kernel together: what the program costs as a whole."""
    linux, linnet = (row.get(name, {}) for row in rows)
    if 'kernel' not in linux or 'kernel' not in linnet:
        return None
    return (linnet['user'] + linnet['kernel']) / (linux['user'] + linux['kernel'])


def time_ratio(times, name):
    linux, linnet = (column.get(name) for column in times)
    return statistics.median(linnet) / statistics.median(linux) if linux and linnet else None


def cell(value, form):
    return f'{value:>{form}}' if value is not None else '-'.rjust(int(re.match(r'\d+', form)[0]))


def table(rows, times):
    """Lines: instructions per message of 100 bytes or wake, seconds (median of the samples), ratios."""
    yield f'{"row":<28} {"Linux":>9} {"Linnet":>9}  ratio {"Linux s":>9} {"Linnet s":>9}  ratio'
    for name in [*ROWS, CYCLICTEST]:
        totals = [row[name]['user'] + row[name]['kernel'] if 'kernel' in row.get(name, {}) else None for row in rows]
        seconds = [statistics.median(column[name]) if column.get(name) else None for column in times]
        yield (f'{name:<28} ' + ' '.join(cell(total, '9,.0f') for total in totals) + ' ' + cell(instruction_ratio(rows, name), '6.2f') + ' ' +
               ' '.join(cell(value, '9.3f') for value in seconds) + ' ' + cell(time_ratio(times, name), '6.2f'))


def broken_promises(rows, times):
    """Sentences about what Linnet could not do, and what is beyond its limit."""
    found = [f'{name}: {rows[1][name]["error"]} ({rows[1][name]["what"]})' for name in ROWS if 'error' in rows[1].get(name, {'error': '-', 'what': '-'})]
    for what, limit, ratio, figures in (('instructions', INSTRUCTIONS_LIMIT, instruction_ratio, rows), ('time', TIME_LIMIT, time_ratio, times)):
        mean = counts.geometric_mean(value for name in ROWS if (value := ratio(figures, name)) is not None)
        if mean is not None and mean > limit:
            found.append(f'hackbench, {what}: geometric mean {mean:.2f} of Linux, at most {limit:.2f} promised')
    return found


def means(rows, times):
    """The geometric means of both kinds of ratios, as a line."""
    both = [counts.geometric_mean(value for name in ROWS if (value := ratio(figures, name)) is not None)
            for ratio, figures in ((instruction_ratio, rows), (time_ratio, times))]
    return (f'geometric means: instructions on one CPU {cell(both[0], "4.2f")}, time on {TIMED_CPUS} CPUs {cell(both[1], "4.2f")}')
