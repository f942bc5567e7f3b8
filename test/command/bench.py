"""linnet bench: count what the same program costs on Linux and on Linnet, in instructions.

Both boot on the same virtual machine, with one CPU; `--scaling` boots Linnet alone, with several. Linux is Debian's cloud kernel, fetched as a package into the build folder's
cache (delete build/bench/linux to fetch a newer one), never installed. Figures go to build/bench.json as well.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import build
import deps
from build import TOP, CommandError

sys.path.insert(0, os.path.join(TOP, 'test', 'bench'))
import counts  # noqa: E402
import debian  # noqa: E402
import guests  # noqa: E402
import hackbench  # noqa: E402
import profile  # noqa: E402
from qemu import MachineError  # noqa: E402

TARGETS = ['all', 'linnet.img', 'test/bench/bench', 'test/bench/plugin.so']

SKIPPED = 77  # to Meson: there is no Linux to compare with


def names(text):
    return [name for name in text.split(',') if name]


def cpu_counts(text):
    found = [int(name) for name in names(text)]
    if not found or not set(found) <= {1, 2, 4, 8}:
        raise ValueError(text)
    return found


def parser():
    p = argparse.ArgumentParser(prog='linnet bench', description=__doc__.splitlines()[0])
    p.add_argument('--rows', type=names, default=[], metavar='A,B', help='these rows only')
    p.add_argument('--no-linux', action='store_true', help="Linux's column as it was counted last")
    p.add_argument('--repeat', type=int, default=2, metavar='N', help='samples of each row, averaged (2)')
    p.add_argument('--json', metavar='FILE', help='where the figures go (build/bench.json)')
    p.add_argument('--check', action='store_true', help='fail when a figure is beyond what the project promises')
    p.add_argument('--kernel', action='store_true', help="the kernel's own operations (frames, objects, page tables, regions) instead")
    p.add_argument('--hackbench', action='store_true', help='Debian\'s hackbench instead: instructions on one CPU, time on two')
    p.add_argument('--runs', type=int, default=3, metavar='N', help='with --hackbench: boots that are timed of each, in turns; 0: none (3)')
    p.add_argument('--scaling', action='store_true', help='the same work on several CPUs at once instead: does an operation cost more?')
    p.add_argument('--cpus', type=cpu_counts, default=[1, 2, 4, 8], metavar='N,M', help='with --scaling: on so many CPUs (1,2,4,8)')
    p.add_argument('--profile', metavar='ROW', help='which functions of Linnet the instructions of this row are in')
    p.add_argument('--no-build', action='store_true', help='measure what was built last')
    return p


def system_figures(guest, plugin, shipped, counted, sizes):
    """The booted system: its way to user space, the memory used at the shell with 512 MiB, its files' sizes."""
    figures = guests.run_system(guest, plugin, shipped, build.artifact('bench'))
    figures['entry_to_user'] = counts.entry_to_user(counted)
    figures['sizes'] = {name: os.path.getsize(path) for name, path in sizes.items()}
    return figures


def counted_before(stored):
    """What was counted on Linux last and is in this file."""
    try:
        with open(stored, encoding='utf-8') as file:
            return json.load(file)
    except OSError as error:
        raise CommandError('--no-linux: Linux has not been counted yet; run without it once') from error


def linux_column(options, plugin, initramfs, shipped):
    """What was counted on Linux, from the cache or anew: {'release', 'rows', 'system'}."""
    folder = build.artifact('bench')
    stored = os.path.join(folder, 'linux.json')
    if options.no_linux:
        return counted_before(stored)
    image = debian.fetch(os.path.join(folder, 'linux'))
    guest = guests.linux(image)
    rows, counted = guests.run_rows(guest, plugin, initramfs, folder, options.rows, options.repeat)
    column = {'release': debian.release(image), 'rows': rows}
    if not options.rows:
        column['system'] = system_figures(guest, plugin, shipped, counted, {'kernel': image})
        # The shipped archive has a modprobe, which Linux runs before init: not the figure that is meant.
        del column['system']['entry_to_user_shipped']
        with open(stored, 'w', encoding='utf-8') as file:
            json.dump(column, file, indent=1)
    return column


def linnet_column(options, plugin, initramfs, shipped):
    kernel, image = build.artifact('kernel.elf'), build.artifact('userspace', 'image', 'linnet.img')
    guest = guests.linnet(kernel)
    rows, counted = guests.run_rows(guest, plugin, initramfs, build.artifact('bench'), options.rows, options.repeat)
    column = {'rows': rows}
    if not options.rows:
        column['system'] = system_figures(guest, plugin, shipped, counted, {'kernel': kernel, 'initramfs': shipped, 'disk_image': image})
    return column


SYSTEM_LINES = [
    ('entry to first user instruction: upper half (kernel)', 'entry_to_user', 'upper'),
    ('entry to first user instruction: lower half (unpacking)', 'entry_to_user', 'lower'),
    ('the same with the shipped initramfs: upper half', 'entry_to_user_shipped', 'upper'),
    ('at the shell, KiB: 512 MiB - MemFree', 'memory_kib', 'machine_minus_free'),
    ('at the shell, KiB: MemTotal - MemFree', 'memory_kib', 'total_minus_free'),
    ('at the shell, KiB: MemTotal - MemAvailable', 'memory_kib', 'total_minus_available'),
    ('bytes: kernel image', 'sizes', 'kernel'),
    ('bytes: initramfs', 'sizes', 'initramfs'),
    ('bytes: disk image', 'sizes', 'disk_image'),
]


def show_system(result):
    """The figures of the booted system, both columns beside each other."""
    print(f'\n{"":<58} {"Linux":>16} {"Linnet":>16}')
    for text, group, key in SYSTEM_LINES:
        values = [(result[side].get('system') or {}).get(group, {}).get(key) for side in ('linux', 'linnet')]
        print(f'{text:<58} ' + ' '.join(f'{value:>16,}' if value is not None else f'{"-":>16}' for value in values))


def compare(options, plugin, initramfs, shipped):
    linnet = linnet_column(options, plugin, initramfs, shipped)
    linux = linux_column(options, plugin, initramfs, shipped)
    if options.rows:
        unknown = [name for name in options.rows if name not in linnet['rows']]
        if unknown:
            raise CommandError(f'no such row: {" ".join(unknown)}', 2)
        linux = dict(linux, rows={name: row for name, row in linux['rows'].items() if name in options.rows})
    found = counts.ratios(linux['rows'], linnet['rows'])
    result = {'linux': linux, 'linnet': linnet, 'ratios': {name: round(value, 4) for name, value in found.items()},
              'geometric_mean': counts.geometric_mean(found.values())}
    print(f'Instructions, Linux {linux["release"]} and Linnet')
    for line in counts.table(linux['rows'], linnet['rows']):
        print(line)
    if found:
        print(f'{len(found)} of {len(linnet["rows"])} rows, geometric mean of the ratios {result["geometric_mean"]:.3f}')
    if not options.rows:
        show_system(result)
    path = options.json or build.artifact('bench.json')
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(result, file, indent=1)
    broken = counts.broken_promises(result)
    for sentence in broken:
        print(f'linnet: {sentence}', file=sys.stderr)
    return 1 if broken and options.check else 0


def show_scaling(options, plugin, initramfs):
    """The rows of test/bench/scaling.h, on machines with more and more CPUs."""
    guest = guests.linnet(build.artifact('kernel.elf'))
    runs = {cpus: guests.run_scaling(guest, plugin, initramfs, build.artifact('bench'), cpus, options.rows, options.repeat)[0]
            for cpus in options.cpus}
    unknown = [name for name in options.rows if name not in counts.scaling_rows(runs)]
    if unknown:
        raise CommandError(f'no such row: {" ".join(unknown)}', 2)
    print('Instructions of the kernel per operation, when so many CPUs do it at once')
    for line in counts.scaling_table(runs):
        print(line)
    with open(options.json or build.artifact('bench-scaling.json'), 'w', encoding='utf-8') as file:
        json.dump(runs, file, indent=1)
    broken = counts.scaling_broken(runs)
    for sentence in broken:
        print(f'linnet: {sentence}', file=sys.stderr)
    return 1 if broken and options.check else 0


def show_profile(options, plugin, initramfs):
    guest = guests.linnet(build.artifact('kernel.elf'))
    folder = build.artifact('bench')
    if options.scaling:
        rows, counted = guests.run_scaling(guest, plugin, initramfs, folder, options.cpus[-1], [options.profile], options.repeat, profile=True)
    else:
        rows, counted = guests.run_rows(guest, plugin, initramfs, folder, [options.profile], options.repeat, profile=True)
    row = rows.get(options.profile)
    if row is None:
        raise CommandError(f'there is no row "{options.profile}"', 2)
    if 'error' in row:
        raise CommandError(f'{options.profile}: {row["error"]} ({row["what"]})')
    total = sum(counted['counts'].values())
    amount = total / (row['user'] + row['kernel'])
    print(f'{options.profile}: instructions per {row["unit"]}')
    for line in profile.table(counted['counts'], profile.read_symbols(build.artifact('kernel.debug.elf')), amount):
        print(line)
    return 0


def linux_hackbench(options, guest, plugin, initramfs, folder):
    """Linux's instructions of the programs, as they were counted last if that will do."""
    stored = os.path.join(folder, 'linux-hackbench.json')
    if options.no_linux:
        return counted_before(stored)
    rows = hackbench.count_instructions(guest, plugin, initramfs, folder)
    with open(stored, 'w', encoding='utf-8') as file:
        json.dump(rows, file, indent=1)
    return rows


def show_hackbench(options, plugin, initramfs):
    folder = build.artifact('bench')
    image = debian.fetch(os.path.join(folder, 'linux'))
    pair = [guests.linux(image), guests.linnet(build.artifact('kernel.elf'))]
    rows = [linux_hackbench(options, pair[0], plugin, initramfs, folder),
            hackbench.count_instructions(pair[1], plugin, initramfs, folder)]
    times = hackbench.measure_times(pair, initramfs, folder, options.runs)
    print(f'hackbench -l 100 on Linux {debian.release(image)} and Linnet: instructions per message (cyclictest: wake), seconds on {hackbench.TIMED_CPUS} CPUs')
    for line in hackbench.table(rows, times):
        print(line)
    print(hackbench.means(rows, times))
    with open(options.json or build.artifact('bench-hackbench.json'), 'w', encoding='utf-8') as file:
        json.dump({'instructions': rows, 'seconds': times}, file, indent=1)
    broken = hackbench.broken_promises(rows, times)
    for sentence in broken:
        print(f'linnet: {sentence}', file=sys.stderr)
    return 1 if broken and options.check else 0


def show_kernel(options, plugin, initramfs):
    """Instructions of single operations inside the kernel, which no program can call alone."""
    rows = guests.run_kernel(guests.linnet(build.artifact('kernel.elf')), plugin, initramfs, build.artifact('bench'))
    print('Instructions per operation, inside the kernel')
    for line in counts.kernel_table(rows):
        print(line)
    with open(options.json or build.artifact('bench-kernel.json'), 'w', encoding='utf-8') as file:
        json.dump(rows, file, indent=1)
    return 1 if any('error' in row for row in rows.values()) else 0


def main(args):
    options = parser().parse_args(args)
    if options.repeat < 1:
        raise CommandError('--repeat: at least 1', 2)
    if not options.no_build:
        deps.ensure()
        build.build(TARGETS)
    os.makedirs(build.artifact('bench'), exist_ok=True)
    plugin = build.artifact('test', 'bench', 'plugin.so')
    shipped = build.artifact('userspace', 'image', 'initramfs.cpio')
    with tempfile.TemporaryDirectory(prefix='linnet-bench-') as folder:
        try:
            programs = options.hackbench or (options.profile in (*hackbench.ROWS, hackbench.CYCLICTEST))
            items = hackbench.archive_items(build.artifact('bench', 'programs')) if programs else []
            initramfs = guests.make_initramfs(os.path.join(folder, 'bench.cpio'), build.artifact('test', 'bench', 'bench'), items)
            if options.hackbench:
                return show_hackbench(options, plugin, initramfs)
            if options.kernel:
                return show_kernel(options, plugin, initramfs)
            if options.profile:
                return show_profile(options, plugin, initramfs)
            if options.scaling:
                return show_scaling(options, plugin, initramfs)
            return compare(options, plugin, initramfs, shipped)
        except debian.FetchError as error:
            raise CommandError(str(error), SKIPPED if options.check else 1) from error
        except (MachineError, counts.CountError, subprocess.CalledProcessError) as error:
            raise CommandError(str(error)) from error
