"""The real road: UEFI firmware, our loader, the kernel, to a command in user space. From every medium the firmware boots from, on both PCs,
with several CPUs and amounts of memory, with and without a display; and the menu.

Each boot covers one medium and one of everything else.
"""
import tempfile

from boottest import PARAMETERS, SHORT_PARAMETERS, UEFI_TIMEOUT_S, Case, Disks, Failed, Machine, expect_lines, expect_memory, good_files, run, run_in

COMMAND = 'cat /proc/meminfo; dmesg'
DISKS = Disks()
LOADER_STORY = [r'boot: by linnet-efi 1 in \d+ thousand TSC ticks, from UEFI', r'boot: memory 0x[0-9a-f]+-0x[0-9a-f]+ +\d+ KiB usable',
                r'boot: memory .* EFI runtime', r'boot: memory .* initramfs', r'boot: ACPI RSDP 0x[1-9a-f]']


def boots(medium, machine, cpu, smp, memory_mib, vga, parameters, *patterns):
    disk = DISKS.make(good_files(f'{PARAMETERS} {parameters}'.strip()))
    with Machine(firmware='uefi', machine=machine, cpu=cpu, smp=smp, memory=memory_mib, vga=vga, disks=[(medium, disk)],
                 serials=['port', 'port']) as vm:
        said = run_in(vm, COMMAND, UEFI_TIMEOUT_S)
    expect_memory(said, memory_mib)
    expect_lines(said, *LOADER_STORY, *patterns)


def menu():
    """Two entries: a key calls the menu, Down chooses the second one, its parameters are edited, Enter boots it."""
    files = good_files()
    files['linnet/boot.conf'] = (f'default = first\ntimeout = 60\nkernel = \\linnet\\kernel.elf\ninitramfs = \\linnet\\initramfs.cpio\n'
                                 f'[first]\nparameters = first\n[second]\nparameters = {SHORT_PARAMETERS} chosen=secon\n').encode()
    with Machine(firmware='uefi', memory='512M', disks=[('nvme', DISKS.make(files))], serials=['port', 'port']) as vm:
        port = vm.ports[0]
        port.wait_for('"first" starts in', UEFI_TIMEOUT_S)
        port.send(' ')
        port.wait_for('edit parameters', 60)
        port.send('\x1b[B')  # Down
        port.wait_for('chosen=secon', 60)
        port.send('e')
        port.wait_for('Ctrl-U', 60)
        port.send('d edited\r')
        said = run_in(vm, 'cat /proc/cmdline', UEFI_TIMEOUT_S)
    expect_lines(said, r'chosen=second edited$')


def find_tables(memory, signature):
    """The physical addresses of an ACPI table in a picture of memory from 0 on: the one in use, and what copies the firmware left behind."""
    found, at = [], memory.find(signature)
    while at >= 0:
        length = int.from_bytes(memory[at + 4:at + 8], 'little')
        if 36 <= length <= 65536 and memory[at + 10:at + 16] == b'BOCHS ' and sum(memory[at:at + length]) & 0xff == 0:
            found.append(at)
        at = memory.find(signature, at + 1)
    if not found:
        raise Failed(f'the firmware made no {signature.decode()} table')
    return found


def damaged_acpi():
    """Two tables get a wrong checksum while the menu waits; the kernel says so and does without them (PIC, another clock)."""
    files = good_files()
    files['linnet/boot.conf'] = (f'timeout = 300\nkernel = \\linnet\\kernel.elf\ninitramfs = \\linnet\\initramfs.cpio\nparameters = {PARAMETERS}\n'
                                 '[one]\n[two]\n').encode()
    with Machine(firmware='uefi', memory=128, disks=[('virtio', DISKS.make(files))], serials=['port', 'port'], debugger=True) as vm:
        vm.ports[0].wait_for('"one" starts in', UEFI_TIMEOUT_S)
        with vm.stopped_by_debugger() as stub, tempfile.NamedTemporaryFile() as picture:
            vm.qmp('pmemsave', val=0, size=128 << 20, filename=picture.name)
            memory = picture.read()
            for signature in (b'APIC', b'HPET'):
                for table in find_tables(memory, signature):
                    at = table + 24  # OEM revision: harmless but for the checksum
                    stub.write(at, bytes([memory[at] ^ 0xff]))
        vm.ports[0].send(' ')
        vm.ports[0].wait_for('edit parameters', 60)
        vm.ports[0].send('\r')
        said = run_in(vm, 'dmesg', UEFI_TIMEOUT_S)
    expect_lines(said, r'acpi: table APIC .*checksum.*skipped', r'acpi: table HPET .*checksum.*skipped')


if __name__ == '__main__':
    run([
        Case('boots from nvme: q35, any CPU, display of the size it prefers', boots, 'nvme', 'q35', 'max', 1, 512, 'std', '',
             r'boot: framebuffer 1280x800, 32 bits a pixel'),
        Case('boots from ahci: q35, Nehalem, 2 CPUs, forced display size', boots, 'ahci', 'q35', 'Nehalem', 2, 1024, 'std', 'video=800x600',
             r'boot: framebuffer 800x600, 32 bits a pixel'),
        Case('boots from virtio: pc, qemu64, 4 CPUs, no display', boots, 'virtio', 'pc', 'qemu64', 4, 256, 'none', '', r'boot: no framebuffer'),
        Case('boots from usb: q35, 8 CPUs, 8 GiB', boots, 'usb', 'q35', 'max', 8, 8192, 'std', ''),
        Case('boots with 5-level paging and no slide', boots, 'virtio', 'q35', 'max', 1, 512, 'none', 'la57 nokaslr', r'from UEFI, 5-level paging',
             r'\(slide 0\)'),
        Case('damaged ACPI tables are told and done without', damaged_acpi),
        Case('the menu chooses an entry and edits its parameters', menu),
    ])
