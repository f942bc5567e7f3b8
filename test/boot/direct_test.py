"""Booting without firmware, by the PVH entry: machines, CPUs, amounts of memory; and a panic on purpose."""
import math
import re

from boottest import DIRECT_TIMEOUT_S, PARAMETERS, Case, Failed, Machine, MachineError, artifact, detectors, expect, expect_lines, expect_memory, run, run_in, tail

COMMAND = 'cat /proc/meminfo; dmesg'


def direct(**fields):
    return Machine(kernel=artifact('kernel.elf'), initrd=artifact('userspace', 'image', 'initramfs.cpio'), serials=['port', 'port'], **fields)


def boots(machine, cpu, smp, memory_mib):
    with direct(machine=machine, cpu=cpu, smp=smp, memory=memory_mib, append=PARAMETERS) as vm:
        said = run_in(vm, COMMAND)
    expect_memory(said, memory_mib)
    expect_lines(said, r'boot: by linnet-pvh 1')


def protected(cpu, append, *features):
    """The kernel looks at its own page tables and control registers, and panics when one is not as strict as it can be."""
    with direct(cpu=cpu, append=f'{PARAMETERS} linnet.audit {append}') as vm:
        said = run_in(vm, 'dmesg')
    executable = re.search(r'mmu: audit: (\d+) KiB executable, (\d+) KiB read-only, (\d+) KiB writable', said)
    expect(executable is not None and 100 < int(executable[1]) < (8192 if detectors() else 2048), f'no sane report of an audit in\n{tail(said, 60)}')
    for feature in features:
        expect_lines(said, rf'^.*cpu: .*\b{feature}\b')


BOOTS = 24
SLIDE_STEP, IMAGE_ROOM = 2 << 20, 1 << 30     # kernel/abi/boot.h


def slides():
    """The kernel is somewhere else each time: every bit of the slide is seen clear and set, and hardly one comes twice."""
    seen = []
    for _ in range(BOOTS):
        with direct(append=PARAMETERS) as vm:
            said = run_in(vm, 'dmesg')
        told = re.search(r'boot: kernel (\d+) KiB .* \(slide (?:0x)?([0-9a-f]+)\)', said)
        expect(told is not None, f'the kernel did not say where it runs:\n{tail(said)}')
        slide, room = int(told[2], 16), IMAGE_ROOM - (int(told[1]) << 10)
        expect(slide % SLIDE_STEP == 0 and slide <= room, f'slide {slide:#x} in {room:#x} bytes')
        seen.append(slide)
    print(f'# {len(set(seen))} different slides in {BOOTS} boots, of {room // SLIDE_STEP + 1} places: {math.log2(room // SLIDE_STEP + 1):.1f} bits')
    for bit in range(21, 30):
        expect(len({slide >> bit & 1 for slide in seen}) == 2, f'bit {bit} is always the same in {[hex(slide) for slide in seen]}')
    expect(len(set(seen)) > BOOTS - 6, f'{sorted(hex(slide) for slide in seen)}')


def without_initramfs():
    """Nothing to run is told in a sentence, not met by silence."""
    with Machine(kernel=artifact('kernel.elf'), append='console=ttyS0 panic=off', serials=['port']) as vm:
        try:
            vm.wait(DIRECT_TIMEOUT_S)
        except MachineError as error:
            raise Failed(f'{error}\n{tail(vm.ports[0].text())}') from error
        expect_lines(vm.ports[0].text(), r'panic: .*init')


def panics():
    """linnet.crash=panic: message, symbolised backtrace, build id; then off, as panic=off says."""
    expect_lines(crash('panic'), r'panic: asked for by the parameter', r' #0 .* [a-z_]+\+0x[0-9a-f]+', r'build [0-9a-f]{8}')


def others_tell():
    """The other CPUs, which are busy with interrupts off, tell in a panic what they are at."""
    text = crash('panic-beside-others', smp=3)
    expect_lines(text, r'panic: asked for by the parameter', r'panic: end')
    others = re.findall(r'cpu (\d):\r?\n.* #0 .* spin_for_ever\+0x', text)
    expect(len(set(others)) == 2, f'CPUs that told: {others}, in\n{tail(text, 60)}')


def neighbours_are_watched():
    """A CPU that takes no interrupts is told of by another one, with what an NMI finds it at."""
    expect_lines(crash('hard-lockup', smp=2), r'watchdog: cpu \d has taken no interrupt for', r'cpu \d:', r' #0 .* spin_for_ever\+0x',
                 r'panic: watchdog: hard lockup of cpu \d')


def crash(name, cpu='max', smp=1):
    """What the console says about a crime on purpose."""
    with direct(cpu=cpu, smp=smp, append=f'{PARAMETERS} linnet.crash={name}') as vm:
        try:
            status = vm.wait(DIRECT_TIMEOUT_S)
        except MachineError as error:
            raise Failed(f'{error}\n{tail(vm.ports[0].text())}') from error
        text = vm.ports[0].text()
    expect(status == 0, f'QEMU ended with {status}')
    return text


def stopped(name, report):
    """The machine does not let the kernel do it."""
    text = crash(name)
    expect_lines(text, rf'panic: {report}')
    expect('went through' not in text, f'{name} went through')


def locked_twice(name, report):
    """Told where it happens; or before, where the order of locks is looked at."""
    stopped(name, 'misused lock in the kernel, told above' if 'debug' in detectors() else report)


if __name__ == '__main__':
    run([
        Case('q35, any CPU, 64 MiB', boots, 'q35', 'max', 1, 64),
        Case('pc, qemu64, 2 CPUs, 128 MiB', boots, 'pc', 'qemu64', 2, 128),
        Case('microvm, Nehalem, 4 CPUs, 1 GiB', boots, 'microvm', 'Nehalem', 4, 1024),
        Case('q35, EPYC, 8 CPUs, 8 GiB', boots, 'q35', 'EPYC', 8, 8192),
        Case('no page writable and executable, any CPU', protected, 'max', '', 'NX', 'SMEP', 'SMAP', 'UMIP', 'FSGSBASE'),
        Case('no page writable and executable, 5 levels', protected, 'max', 'la57', 'NX', 'LA57'),
        Case('no page writable and executable, qemu64', protected, 'qemu64', '', 'NX'),
        Case('no page writable and executable, Nehalem', protected, 'Nehalem', '', 'NX'),
        Case('a missing initramfs is told', without_initramfs),
        Case('a panic on purpose is told and powers off', panics),
        Case('a panic tells what the other CPUs do', others_tell),
        Case('a CPU that takes no interrupts is told of by its neighbour', neighbours_are_watched),
        Case('constants cannot be written', stopped, 'write-constant', 'page fault in the kernel: write of 0xffff.* not allowed'),
        Case('what boot has settled cannot be written', stopped, 'write-sealed', 'page fault in the kernel: write of 0xffff.* not allowed'),
        Case('code cannot be written', stopped, 'write-code', 'page fault in the kernel: write of 0xffff.* not allowed'),
        Case('variables are not executed', stopped, 'run-data', 'page fault in the kernel: execute of 0xffff.* not allowed'),
        Case('the heap is not executed', stopped, 'run-heap', 'page fault in the kernel: execute of 0xffff.* not allowed'),
        Case('user memory is not executed (SMEP)', stopped, 'run-user', 'page fault in the kernel: execute of 0x10000000, not allowed'),
        Case('user memory is not read by accident (SMAP)', stopped, 'read-user', 'page fault in the kernel: read of 0x10000000, not allowed'),
        Case('user memory is not written by accident (SMAP)', stopped, 'write-user', 'page fault in the kernel: write of 0x10000000, not allowed'),
        Case('a null pointer is nobody\'s', stopped, 'read-null', 'page fault in the kernel: read of 0, not mapped'),
        Case('modules are not executed before they are sealed', stopped, 'run-module', 'page fault in the kernel: execute of 0xffffffff.* not allowed'),
        Case('the kernel lies anywhere', slides),
        Case('sealed modules cannot be written', stopped, 'write-module', 'page fault in the kernel: write of 0xffffffff.* not allowed'),
        Case('sealed modules cannot be written in the direct map', stopped, 'write-module-alias', 'page fault in the kernel: write of 0xffff8.* not allowed'),
        Case('vmalloc\'s memory ends at a guard page', stopped, 'vmalloc-overrun', 'page fault in the kernel: write of 0xffff.* not mapped'),
        Case('vmalloc\'s memory begins behind a guard page', stopped, 'vmalloc-underrun', 'page fault in the kernel: write of 0xffff.* not mapped'),
        Case('who locks a mutex twice is told', locked_twice, 'mutex-twice', r'BUG: mutex_is_held\(mutex\)'),
        Case('who locks a semaphore twice is told', locked_twice, 'rwsem-twice', r'BUG: rwsem_is_writer\(sem\)'),
        Case('a stack ends at its guard page', stopped, 'stack-overflow', 'kernel stack overflow'),
    ])
