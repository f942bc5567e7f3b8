"""What a virtual machine is made of, and the QEMU command line that says it.

Interface: fill an Options, call command_line(options). Pure functions: nothing is started, opened or looked up here except
that firmware files are searched for in the places where distributions keep them (find_firmware).
"""
import dataclasses
import os

# (code, variables) pairs; Debian and Ubuntu, Fedora, Arch.
FIRMWARE_FILES = [
    ('/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'),
    ('/usr/share/edk2/ovmf/OVMF_CODE.fd', '/usr/share/edk2/ovmf/OVMF_VARS.fd'),
    ('/usr/share/edk2/x64/OVMF_CODE.4m.fd', '/usr/share/edk2/x64/OVMF_VARS.4m.fd'),
    ('/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'),
]

MACHINES = ('q35', 'pc', 'microvm')
DISK_KINDS = ('nvme', 'ahci', 'ide', 'virtio', 'scsi', 'usb', 'usb-ehci', 'cdrom')
VGA_DEVICES = {'std': 'VGA', 'bochs': 'bochs-display', 'ramfb': 'ramfb', 'virtio': 'virtio-vga',
               'cirrus': 'cirrus-vga', 'qxl': 'qxl-vga', 'vmware': 'vmware-svga', 'ati': 'ati-vga'}


class OptionError(ValueError):
    """An option that makes no sense, told in one sentence."""


@dataclasses.dataclass
class Options:
    machine: str = 'q35'            # q35, pc, microvm
    accel: str = 'tcg'              # any -accel argument: tcg,thread=multi  kvm
    cpu: str = 'max'
    smp: int | str = 1              # number, or a whole -smp argument
    memory: int | str = '512M'      # MiB, or with a suffix
    firmware: str = 'direct'        # uefi: OVMF from a disk;  direct: -kernel with a PVH note
    kernel: str | None = None       # direct only
    initrd: str | None = None
    append: str = ''
    disks: list = dataclasses.field(default_factory=list)    # (kind, file or folder); the first one is booted
    snapshot: bool = False          # throw away what the guest writes to its disks
    serials: list = dataclasses.field(default_factory=list)  # a chardev each: fd:N  pipe:PATH (.in, .out)  stdio  mon:stdio  null  file:PATH  unix:PATH
    qmp_fd: int | None = None       # connected socket for the machine protocol
    vga: str = 'none'               # none, or a key of VGA_DEVICES
    display: str = 'none'           # any -display argument
    firmware_files: tuple | None = None   # (code, variables); None: find_firmware()
    reboot: bool = False            # False: a reset ends QEMU
    stopped: bool = False           # start with the CPUs stopped, gdb stub on gdb_port
    gdb_port: int | None = None
    gdb_fd: int | None = None       # connected socket for the gdb stub
    extra: list = dataclasses.field(default_factory=list)    # raw QEMU arguments


def find_firmware():
    for code, variables in FIRMWARE_FILES:
        if os.path.exists(code) and os.path.exists(variables):
            return code, variables
    raise OptionError('no UEFI firmware for virtual machines found (Debian: package ovmf)')


def escape(path):
    """QEMU option values double their commas."""
    return str(path).replace(',', ',,')


def chardev(ident, backend):
    """A -chardev argument from a short description of the other end."""
    kind, _, rest = backend.partition(':')
    if kind == 'fd':
        return f'socket,id={ident},fd={rest}'
    if kind == 'unix':
        return f'socket,id={ident},path={escape(rest)},server=on,wait=off'
    if kind == 'pipe':
        return f'pipe,id={ident},path={escape(rest)}'
    if kind == 'file':
        return f'file,id={ident},path={escape(rest)}'
    if backend == 'stdio':
        return f'stdio,id={ident},signal=off'
    if backend == 'mon:stdio':
        return f'stdio,id={ident},signal=off,mux=on'
    if kind in ('null', 'pty'):
        return f'{kind},id={ident}'
    raise OptionError(f'serial port: unknown backend "{backend}"')


def serial_arguments(options):
    args = []
    for index, backend in enumerate(options.serials):
        args += ['-chardev', chardev(f'ser{index}', backend)]
        if backend == 'mon:stdio':
            args += ['-mon', f'chardev=ser{index},mode=readline']
        if options.machine == 'microvm' and index > 0:
            args += ['-device', f'isa-serial,chardev=ser{index},index={index}']
        else:
            args += ['-serial', f'chardev:ser{index}']
    return args or ['-serial', 'none']


def drive(ident, path, options):
    """The backend of one disk. A folder becomes a FAT file system on the fly."""
    snapshot = ',snapshot=on' if options.snapshot else ''
    if os.path.isdir(path):
        return f'if=none,id={ident},format=raw,file=fat:rw:{escape(path)}'
    kind = 'qcow2' if str(path).endswith('.qcow2') else 'raw'
    return f'if=none,id={ident},format={kind},file={escape(path)}{snapshot}'


def disk_device(kind, ident, index, options):
    """Arguments for the front end of one disk; the controllers they need come along with the first disk that needs them."""
    boot = f',bootindex={index + 1}'
    microvm = options.machine == 'microvm'
    if microvm and kind not in ('virtio',):
        raise OptionError(f'machine microvm has no {kind} disks, only virtio')
    if kind == 'nvme':
        return ['-device', f'nvme,drive={ident},serial=linnet{index}{boot}']
    if kind == 'ahci':
        return ['-device', f'ich9-ahci,id=ahci{index}',
                '-device', f'ide-hd,bus=ahci{index}.0,drive={ident}{boot}']
    if kind == 'ide':
        if options.machine != 'pc':
            raise OptionError(f'machine {options.machine} has no IDE controller; pc has')
        return ['-device', f'ide-hd,bus=ide.{index // 2},unit={index % 2},drive={ident}{boot}']
    if kind == 'virtio':
        name = 'virtio-blk-device' if microvm else 'virtio-blk-pci'
        return ['-device', f'{name},drive={ident}{boot}']
    if kind == 'scsi':
        return ['-device', f'virtio-scsi-pci,id=scsi{index}',
                '-device', f'scsi-hd,bus=scsi{index}.0,drive={ident}{boot}']
    if kind == 'usb':
        return ['-device', f'qemu-xhci,id=xhci{index}',
                '-device', f'usb-storage,bus=xhci{index}.0,drive={ident}{boot}']
    if kind == 'usb-ehci':
        return ['-device', f'usb-ehci,id=ehci{index}',
                '-device', f'usb-storage,bus=ehci{index}.0,drive={ident}{boot}']
    if kind == 'cdrom':
        return ['-device', f'virtio-scsi-pci,id=scsi{index}',
                '-device', f'scsi-cd,bus=scsi{index}.0,drive={ident}{boot}']
    raise OptionError(f'unknown kind of disk "{kind}"; known: {" ".join(DISK_KINDS)}')


def disk_arguments(options):
    args = []
    for index, (kind, path) in enumerate(options.disks):
        ident = f'disk{index}'
        args += ['-drive', drive(ident, path, options)]
        args += disk_device(kind, ident, index, options)
    return args


def firmware_arguments(options):
    if options.firmware == 'direct':
        if options.kernel is None:
            raise OptionError('direct boot needs a kernel')
        args = ['-kernel', str(options.kernel)]
        if options.initrd is not None:
            args += ['-initrd', str(options.initrd)]
        if options.append:
            args += ['-append', options.append]
        return args
    if options.firmware != 'uefi':
        raise OptionError(f'unknown firmware "{options.firmware}"; known: uefi direct')
    if options.machine == 'microvm':
        raise OptionError('machine microvm boots directly, not by UEFI')
    if options.append:
        raise OptionError('kernel parameters of a UEFI boot are in boot.conf on its disk')
    code, variables = options.firmware_files or find_firmware()
    # snapshot: variables are written to a temporary overlay, so that every run starts alike and nothing needs copying
    return ['-drive', f'if=pflash,unit=0,format=raw,readonly=on,file={escape(code)}',
            '-drive', f'if=pflash,unit=1,format=raw,snapshot=on,file={escape(variables)}']


def machine_argument(options):
    if options.machine not in MACHINES:
        raise OptionError(f'unknown machine "{options.machine}"; known: {" ".join(MACHINES)}')
    if options.machine == 'microvm':
        # PIT, PIC and RTC as on a small real machine; ACPI so that power-off works
        return 'microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on'
    return options.machine


def command_line(options):
    """The arguments of QEMU, without the program's own name."""
    args = ['-nodefaults', '-no-user-config',
            '-machine', machine_argument(options), '-accel', options.accel, '-cpu', options.cpu,
            '-smp', str(options.smp), '-m', str(options.memory), '-display', options.display]
    if not options.reboot:
        args += ['-no-reboot']
    if options.vga != 'none':
        if options.vga not in VGA_DEVICES:
            raise OptionError(f'unknown display adapter "{options.vga}"; known: {" ".join(VGA_DEVICES)}')
        args += ['-device', VGA_DEVICES[options.vga]]
    args += serial_arguments(options)
    if options.qmp_fd is not None:
        args += ['-chardev', chardev('qmp', f'fd:{options.qmp_fd}'), '-mon', 'chardev=qmp,mode=control']
    if options.gdb_fd is not None:
        args += ['-chardev', chardev('gdb', f'fd:{options.gdb_fd}'), '-gdb', 'chardev:gdb']
    if options.gdb_port is not None:
        args += ['-gdb', f'tcp:127.0.0.1:{options.gdb_port}']
    if options.stopped:
        args += ['-S']
    args += firmware_arguments(options) + disk_arguments(options)
    return args + [str(arg) for arg in options.extra]
