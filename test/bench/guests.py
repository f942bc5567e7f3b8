"""Boots Linux and Linnet alike, with the counting plugin, and brings back what it counted."""
import os
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'test', 'qemu'))
sys.path.insert(0, HERE)
import counts  # noqa: E402
from exec import Session  # noqa: E402
from qemu import Machine, MachineError, Timeout  # noqa: E402

# No fast string instructions: TCG runs them a byte at a time, each byte an instruction, which only one of the two may use.
CPU = 'max,erms=off,fsrm=off'
# One instruction is 8 ns of the guest's time, so that interrupts fall into the same places each time.
SHIFT = 3
BOOT_TIMEOUT_S = 900
LINUX_ENTRY = 0x100000  # Linux x86 boot protocol 2.0 and later: a bzImage's 32-bit entry, where QEMU loads it
NOTE_PVH_ENTRY = 18     # XEN_ELFNOTE_PHYS32_ENTRY


class Guest:
    """One kernel to boot: `name`, `kernel` (path), `parameters` it needs always, `entry` (address of its first instruction)."""

    def __init__(self, name, kernel, parameters, entry):
        self.name, self.kernel, self.parameters, self.entry = name, kernel, parameters, entry


def pvh_entry(path):
    """The physical entry address in the PVH note of a kernel ELF (gABI "Note Section"; Xen's elfnote 18)."""
    with open(path, 'rb') as file:
        data = file.read()
    offset, = struct.unpack_from('<Q', data, 0x20)
    size, count = struct.unpack_from('<HH', data, 0x36)
    for i in range(count):
        kind, _, at, _, _, length = struct.unpack_from('<IIQQQQ', data, offset + i * size)
        end = at + length
        while kind == 4 and at + 12 <= end:
            name_size, desc_size, note = struct.unpack_from('<III', data, at)
            desc = at + 12 + (name_size + 3 & ~3)
            if note == NOTE_PVH_ENTRY and data[at + 12:at + 12 + name_size] == b'Xen\0':
                return int.from_bytes(data[desc:desc + desc_size], 'little')
            at = desc + (desc_size + 3 & ~3)
    raise counts.CountError(f'{path} has no PVH note')


def linnet(kernel):
    return Guest('linnet', kernel, 'console=ttyS0', pvh_entry(kernel))


def linux(image):
    return Guest('linux', image, 'console=ttyS0 quiet', LINUX_ENTRY)


def machine(guest, plugin, output, initrd, append, memory, options='', logs=(None, None), cpus=1):
    """
    A Machine with two serial ports, console and report, and the plugin in it. Its CPUs take turns in one thread, and the guest's time
    is what all of them executed together: the more there are, the less of it an instruction takes, so that each keeps its speed, and
    its timer ticks once in as many instructions as that of a CPU alone.
    """
    load = f'{plugin},out={output},entry={guest.entry:x}{options}'
    return Machine(machine='q35', cpu=CPU, accel='tcg,thread=single', smp=cpus, memory=memory, kernel=guest.kernel, initrd=initrd,
                   append=f'{guest.parameters} {append}'.strip(), serials=['port', 'port'], port_logs=list(logs),
                   extra=['-icount', f'shift={SHIFT - (cpus.bit_length() - 1)},sleep=off', '-plugin', load])


def timing_machine(guest, initrd, append, cpus, logs):
    """A Machine as people run one: no plugin, no counted time, several CPUs at once."""
    return Machine(machine='q35', cpu=CPU, accel='tcg,thread=multi', smp=cpus, memory='1024M', kernel=guest.kernel, initrd=initrd,
                   append=f'{guest.parameters} {append}', serials=['port', 'port'], port_logs=list(logs))


def read_counts(path):
    with open(path, encoding='ascii') as file:
        return counts.parse_plugin(file.read())


def make_initramfs(path, program, items=()):
    """The benchmark as /bench, busybox for the row that runs a shell, and more items of mkcpio.py."""
    busybox = subprocess.run(['sh', '-c', 'command -v busybox'], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([sys.executable, os.path.join(TOP, 'userspace', 'image', 'mkcpio.py'), path, f'{program}:/bench',
                    f'{busybox}:/bin/busybox', 'link:/bin/sh:busybox', 'dir:/dev', 'dir:/proc', 'dir:/sys', 'dir:/tmp:1777', *items], check=True)
    return path


def console_tail(port, lines=15):
    return '\n'.join('  ' + line for line in port.text().splitlines()[-lines:])


def interleave(vm, cpus):
    """
    Have a CPU's turn end in the midst of things, not only where it gives way or halts: channel 0 of the 8254 timer counts down over and
    over (its interrupt is masked), and when a timer of the machine expires, the CPU's turn does too. About 2,000 instructions.
    """
    count = 16 // cpus
    for port, value in ((0x43, 0x34), (0x40, count), (0x40, 0)):
        vm.qmp('human-monitor-command', command_line=f'o/b {port:#x} {value:#x}')


def run_counted(guest, plugin, initramfs, folder, name, parameters, rows, samples, profile, cpus=1, prepare=lambda vm: None):
    """Boot with the benchmark as process 1, `prepare` the machine, and wait for the end. Returns ({row: figures}, what the plugin counted)."""
    output = os.path.join(folder, f'{name}.counts')
    append = f'rdinit=/bench bench.samples={samples}{parameters}'
    if rows:
        append += f' bench.rows={",".join(rows)}'
    if profile:
        append += ' nokaslr'
    logs = [os.path.join(folder, f'{name}.{log}') for log in ('console', 'report')]
    with machine(guest, plugin, output, initramfs, append, '1024M', ',profile=on' if profile else '', logs, cpus) as vm:
        try:
            prepare(vm)
            vm.wait(BOOT_TIMEOUT_S)
            report = counts.parse_report(vm.ports[1].text())
        except (Timeout, counts.CountError) as error:
            vm.kill()
            raise MachineError(f'{guest.name}: {error}. {vm.errors}\n{console_tail(vm.ports[0])}') from error
    counted = read_counts(output)
    return counts.join(report, counted['rows']), counted


def run_rows(guest, plugin, initramfs, folder, rows=(), samples=2, profile=False):
    """The rows of one CPU: as run_counted()."""
    return run_counted(guest, plugin, initramfs, folder, guest.name, '', rows, samples, profile)


def run_scaling(guest, plugin, initramfs, folder, cpus, rows=(), samples=2, profile=False):
    """The scaling rows on so many CPUs: as run_counted()."""
    def prepare(vm):
        vm.ports[1].wait_for('ready', BOOT_TIMEOUT_S)
        interleave(vm, cpus)
        vm.ports[1].send('\n')

    return run_counted(guest, plugin, initramfs, folder, f'{guest.name}-{cpus}', ' bench.scaling=1 bench.wait=1', rows, samples, profile, cpus,
                       prepare)


def run_times(guest, initramfs, folder, rows, samples, cpus):
    """Boot with the benchmark as process 1, and let the guest's clock say how long each sample took: {name: [seconds]}."""
    append = f'rdinit=/bench bench.times=1 bench.samples={samples} bench.rows={",".join(rows)}'
    logs = [os.path.join(folder, f'{guest.name}-times.{name}') for name in ('console', 'report')]
    with timing_machine(guest, initramfs, append, cpus, logs) as vm:
        try:
            vm.wait(BOOT_TIMEOUT_S)
            return counts.parse_times(vm.ports[1].text())
        except (Timeout, counts.CountError) as error:
            vm.kill()
            raise MachineError(f'{guest.name}: {error}. {vm.errors}\n{console_tail(vm.ports[0])}') from error


def run_kernel(guest, plugin, initramfs, folder, groups='all'):
    """Boot with the kernel's own benchmarks (kernel/debug/bench.h), no row of the program's. Returns {name: figures}."""
    output = os.path.join(folder, f'{guest.name}-kernel.counts')
    append = f'rdinit=/bench bench.rows=none linnet.bench={groups}'
    logs = (os.path.join(folder, f'{guest.name}-kernel.console'), None)
    with machine(guest, plugin, output, initramfs, append, '1024M', logs=logs) as vm:
        try:
            vm.wait(BOOT_TIMEOUT_S)
            report = counts.parse_kernel_report(vm.ports[0].text())
        except (Timeout, counts.CountError) as error:
            vm.kill()
            raise MachineError(f'{guest.name}: {error}. {vm.errors}\n{console_tail(vm.ports[0])}') from error
    return counts.join(report, read_counts(output)['rows'])


def run_system(guest, plugin, initramfs, folder, memory_mib=512):
    """Boot the system as it is shipped, to a shell that shows /proc/meminfo. Returns {'entry_to_user_shipped', 'memory_kib', 'meminfo'}."""
    output = os.path.join(folder, f'{guest.name}-system.counts')
    shown = bytearray()
    with machine(guest, plugin, output, initramfs, 'linnet.exec=ttyS1', f'{memory_mib}M',
                 logs=(os.path.join(folder, f'{guest.name}-system.console'), None)) as vm:
        session = Session(vm.ports[1], 'cat /proc/meminfo', stdout=shown.extend)
        try:
            status = session.run(BOOT_TIMEOUT_S)
            vm.wait(60)
        except (Timeout, MachineError) as error:
            vm.kill()
            raise MachineError(f'{guest.name}: {error}. {vm.errors}\n{console_tail(vm.ports[0])}') from error
    meminfo = counts.parse_meminfo(shown.decode())
    entry = counts.entry_to_user(read_counts(output))
    if status != 0 or 'MemFree' not in meminfo or entry is None:
        raise MachineError(f'{guest.name}: no memory figures from the shell (status {status})')
    return {'entry_to_user_shipped': entry, 'memory_kib': counts.memory_used(meminfo, memory_mib * 1024), 'meminfo': meminfo}
