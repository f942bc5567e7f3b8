"""The real road: UEFI firmware, our loader, the kernel, to a command in user space. From every medium the firmware boots from, on both PCs,
with several CPUs and amounts of memory, with and without a display; and the menu.

Each boot covers one medium and one of everything else.
"""
from boottest import PARAMETERS, UEFI_TIMEOUT_S, Case, Disks, Machine, expect_lines, expect_memory, good_files, run, run_in

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
                                 f'[first]\nparameters = first\n[second]\nparameters = {PARAMETERS} chosen=secon\n').encode()
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
        Case('the menu chooses an entry and edits its parameters', menu),
    ])
