"""The platform with parts missing or chosen by parameter: interrupt controllers, clock sources, event timers, ways to leave, serial input and output."""
import contextlib
import hashlib
import tempfile
import threading
import time

from boottest import DIRECT_TIMEOUT_S, PARAMETERS, Case, Failed, Machine, MachineError, Session, artifact, expect, expect_lines, run, run_in, tail
from exec_test import execute

# A second by the clock under test, and who interrupted meanwhile.
COMMAND = 'echo begun; read a x < /proc/uptime; sleep 1; read b x < /proc/uptime; echo slept $a $b; cat /proc/interrupts; dmesg'


def direct(append='', **fields):
    return Machine(kernel=artifact('kernel.elf'), initrd=artifact('userspace', 'image', 'initramfs.cpio'), serials=['port', 'port'],
                   append=f'{PARAMETERS} {append}', **fields)


def expect_second(said):
    """`sleep 1` took a second: the event timer and the clock agree. Generous upwards: the host is busy."""
    words = next((line.split() for line in said.splitlines() if line.startswith('slept ')), None)
    expect(words is not None, f'no sleep in\n{tail(said)}')
    took_s = float(words[2]) - float(words[1])
    expect(0.98 <= took_s < 5, f'sleep 1 took {took_s:.2f} s')


def platform(machine, cpu, append, extra, patterns, powers_off=True, smp=1):
    with direct(append, machine=machine, cpu=cpu, smp=smp, extra=extra) as vm:
        heard = []
        said = run_in(vm, COMMAND, powers_off=powers_off, hear=lambda data: heard.append((time.monotonic(), data)))
    expect_second(said)
    outside_s = next(when for when, data in heard if b'slept' in data) - heard[0][0]
    expect(outside_s >= 0.5, f'a second in the guest took {outside_s:.2f} s outside')  # the host hears late, but not half a second
    expect_lines(said, *patterns)


def serial_carries_bytes():
    """A megabyte through the serial port in both directions, unharmed."""
    data = bytes((i * 7 + i // 251) & 0xff for i in range(1 << 20))
    back = bytearray()
    error = bytearray()
    with tempfile.TemporaryFile() as file, direct() as vm:
        file.write(data)
        file.seek(0)
        try:
            status = Session(vm.ports[1], 'cat', file.fileno(), back.extend, error.extend).run(DIRECT_TIMEOUT_S)
        except MachineError as problem:
            raise Failed(f'{problem}\n{tail(vm.ports[0].text())}') from problem
    expect(status == 0, f'cat ended with status {status}: {error!r}')
    expect(len(back) == len(data), f'{len(back)} of {len(data)} bytes came back')
    expect(hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), 'the bytes that came back are not those sent')


def random_seed_is_made():
    """A machine that gives no seed (test/abi/random.c): who waits for random numbers makes one."""
    status, out, err = execute('/test random', '--cpu', 'qemu64', '--add', artifact('test', 'abi', 'abi') + ':/test')
    said = out.decode('utf-8', 'replace')
    expect(status == 0 and 'SKIP' not in said, f'status {status}:\n{tail(said)}\n{tail(err.decode())}')


def resets(machine, extra):
    """reboot(2) resets the machine by whatever way it has; QEMU is told to end then."""
    with direct(machine=machine, extra=extra) as vm:
        try:
            Session(vm.ports[1], 'reboot -f').run(DIRECT_TIMEOUT_S)
        except MachineError:
            pass  # it went away, as it should
        status = vm.wait(DIRECT_TIMEOUT_S)
        text = vm.ports[0].text()
    expect(status == 0, f'QEMU ended with {status}')
    expect_lines(text, r'reboot: restarting')


def run_until_end(vm, command):
    """What a machine is told that does not answer any more then."""
    with contextlib.suppress(MachineError):
        Session(vm.ports[1], command).run(DIRECT_TIMEOUT_S)


def halts():
    """reboot(2) that leaves the power on stops all CPUs, busy as they are in user mode and in the log."""
    command = 'for i in 1 2; do yes >/dev/kmsg & while :; do :; done & done; sleep 1; halt -f'
    with direct(smp=4) as vm:
        threading.Thread(target=run_until_end, args=(vm, command), daemon=True).start()
        vm.ports[0].wait_for('reboot: system halted', DIRECT_TIMEOUT_S)
        end_s = time.monotonic() + 10
        stopped = 0
        while stopped < 4 and time.monotonic() < end_s:
            time.sleep(0.5)
            stopped = vm.qmp('human-monitor-command', command_line='info registers -a').count('HLT=1')
    expect(stopped == 4, f'{stopped} of 4 CPUs have stopped')


TSC = r'clock: source tsc'

if __name__ == '__main__':
    run([
        Case('without HPET the PM timer calibrates', platform, 'q35', 'max', '', ['-machine', 'hpet=off'],
             [r'clock: tsc at \d+ kHz by acpi_pm', TSC, r'IO-APIC.*ttyS0', r'LOC:']),
        Case('without ACPI the 8259 serves', platform, 'pc', 'Nehalem', '', ['-no-acpi'],
             [r'clock: tsc at \d+ kHz by pit', r'irq: no I/O APIC', r'XT-PIC.*ttyS0'], False),
        Case('without a local APIC the HPET wakes', platform, 'q35', 'qemu64,-apic', '', [], [r'events hpet', r'XT-PIC.*hpet', r'XT-PIC.*ttyS0']),
        Case('HPET as clock and event timer', platform, 'q35', 'max', 'clocksource=hpet clockevent=hpet', [],
             [r'clock: source hpet, events hpet', r'IO-APIC.*hpet']),
        Case('PM timer as clock, PIT as event timer', platform, 'pc', 'max', 'clocksource=acpi_pm clockevent=pit', [],
             [r'clock: source acpi_pm, events pit', r'IO-APIC.*pit']),
        Case('PIT as clock and event timer, on the 8259', platform, 'pc', 'max', 'clocksource=pit clockevent=pit noapic nolapic', [],
             [r'clock: source pit, events pit', r'XT-PIC.*pit']),
        Case('microvm without legacy devices', platform, 'microvm', 'max', '', ['-machine', 'pit=off,pic=off,rtc=off'],
             [TSC, r'clock: tsc at \d+ kHz by virtual lapic', r'ioapic: id 1', r'LOC:']),
        Case('processors are counted', platform, 'q35', 'max', '', [], [r'smp: 6 CPUs listed, 6 of them for use', r'smp: 6 of 6 CPUs online'], True, 6),
        Case('resets by the register of the ACPI tables', resets, 'q35', []),
        Case('resets by the keyboard controller', resets, 'pc', ['-no-acpi']),
        Case('resets where there is no register for it', resets, 'microvm', ['-machine', 'acpi=off']),
        Case('a machine that halts has stopped all its CPUs', halts),
        Case('without a seed random numbers come to those who wait', random_seed_is_made),
        Case('serial carries a megabyte both ways', serial_carries_bytes),
    ])
