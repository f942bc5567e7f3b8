"""linnet run: build what is missing and boot it in QEMU.

With --exec the command's output alone comes out and its status is ours: 124 after --timeout, 125 when the system panicked or did
not come up (with the tail of the console log on stderr). The console log is kept in build/log/.
"""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

import build
import deps
import root
from build import CommandError
from exec import Session
from qemu import UEFI_TIMEOUT_S, Machine, MachineError, OptionError, Timeout

TIMEOUT, NO_SYSTEM = 124, 125
DIRECT_TIMEOUT_S = 120  # for a direct boot, on a busy machine
POWER_OFF_S = 30
TAIL_LINES = 40


def disk(text):
    kind, colon, path = text.partition(':')
    if not colon:
        raise argparse.ArgumentTypeError('KIND:FILE')
    return kind, path


def parser():
    p = argparse.ArgumentParser(prog='linnet run', description=__doc__.splitlines()[0],
                                epilog='What follows "--" goes to QEMU as it is.')
    p.add_argument('--smp', default=None, metavar='N', help='CPUs (a session: 2; --exec: 1)')
    p.add_argument('--mem', default=None, metavar='SIZE', help='memory (512M, and what a --root needs)')
    p.add_argument('--cpu', default='max', metavar='MODEL')
    p.add_argument('--firmware', choices=['uefi', 'direct'], help='uefi: the real road (default with a window); direct: no firmware (default with --exec)')
    p.add_argument('--machine', default='q35', choices=['q35', 'pc', 'microvm'])
    p.add_argument('--accel', default=None, metavar='ARG', help='a QEMU accelerator (a session: kvm where it works, else tcg; --exec: tcg)')
    p.add_argument('--disk', action='append', default=[], type=disk, metavar='KIND:FILE', help='nvme ahci virtio usb ... : disk image; repeatable')
    p.add_argument('--add', action='append', default=[], metavar='PATH[:GUESTPATH]', help='put a file or folder into the initramfs; repeatable')
    p.add_argument('--root', metavar='DIR|TAR|SUITE', help='the root file system: a folder, a tar archive, or a Debian suite (made once, kept)')
    p.add_argument('--packages', metavar='A,B,C', help='packages for a --root SUITE')
    p.add_argument('--append', default='', metavar='PARAMETERS', help='kernel parameters')
    p.add_argument('--exec', dest='command', metavar='COMMAND', help='run it under sh -c as root, then power off')
    p.add_argument('--timeout', type=float, default=None, metavar='SECONDS')
    p.add_argument('--screenshot', metavar='FILE.png', help='a picture of the screen when the command or the time is over')
    p.add_argument('--no-build', action='store_true', help='boot what was built last')
    p.add_argument('--headless', action='store_true', help='no window: the terminal alone')
    return p


def accelerator(options):
    """Commands run the same everywhere, by emulation (None); a session takes the processor's own help where that really works."""
    if options.accel is None and options.command is None and os.access('/dev/kvm', os.W_OK) and kvm_works(options):
        return 'kvm'
    return options.accel


def qemu_works(arguments):
    """Does a machine with these arguments come up?"""
    probe = ['qemu-system-x86_64', '-nodefaults', '-S', '-monitor', 'stdio'] + arguments
    try:
        return subprocess.run(probe, input=b'quit\n', capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def kvm_works(options):
    """A usable /dev/kvm does not promise it."""
    return qemu_works(['-accel', 'kvm', '-machine', 'q35', '-cpu', options.cpu, '-display', 'none'])


def added_items(options):
    """What --add names, as items for mkcpio.py."""
    items = []
    for item in options.add:
        path, _, guest = item.partition(':')
        if not os.path.exists(path):
            raise CommandError(f'--add: {path} does not exist', 2)
        items.append(f'{os.path.abspath(path)}:{guest or "/" + os.path.basename(os.path.abspath(path))}')
    return items


def make_initramfs(options, folder):
    """The built initramfs or the root asked for, with another archive behind it for what else goes in."""
    items = added_items(options)
    if options.root is not None:
        base = root.archive(options.root, options.packages, folder)
        items = root.overlay() + items
    else:
        base = build.artifact('userspace', 'image', 'initramfs.cpio')
    if not items:
        return base
    extra, joined = os.path.join(folder, 'add.cpio'), os.path.join(folder, 'initramfs.cpio')
    build.quiet([sys.executable, os.path.join(build.TOP, 'userspace', 'image', 'mkcpio.py'), extra] + items)
    with open(joined, 'wb') as out:
        for part in (base, extra):
            with open(part, 'rb') as file:
                shutil.copyfileobj(file, out, 1 << 20)
    return joined


def make_image(options, initramfs, append, folder):
    """A boot disk whose boot.conf says what this run wants."""
    image = os.path.join(folder, 'linnet.img')
    build.quiet([sys.executable, os.path.join(build.TOP, 'userspace', 'image', 'mkimage.py'), '--loader', build.artifact('loader', 'efi', 'BOOTX64.EFI'),
                 '--kernel', build.artifact('kernel.elf'), '--initramfs', initramfs, '--append', append, image])
    return image


def machine_fields(options, folder, parameters):
    """What both ways of booting share, and each way's own."""
    firmware = options.firmware or ('direct' if options.command is not None or options.machine == 'microvm' else 'uefi')
    if options.root is not None:
        parameters = parameters + ['initramfs_options=size=95%']  # it is the root for good, and more than half of a small memory
    append = ' '.join(filter(None, parameters + [options.append]))
    initramfs = make_initramfs(options, folder)
    asked = {'accel': accelerator(options), 'smp': options.smp or (None if options.command is not None else '2')}
    fields = {'machine': options.machine, 'cpu': options.cpu, 'memory': options.mem or root.default_memory(initramfs),
              'firmware': firmware, 'disks': list(options.disk), 'extra': options.qemu} | {name: value for name, value in asked.items() if value}
    if firmware == 'direct':
        fields |= {'kernel': build.artifact('kernel.elf'), 'initrd': initramfs, 'append': append}
    else:
        image = make_image(options, initramfs, append, folder)
        fields['disks'] = [('nvme', image)] + fields['disks']
    if options.machine != 'microvm' and (firmware == 'uefi' or options.screenshot):
        fields['vga'] = 'std'
    return fields


def log_path():
    folder = build.artifact('log')
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, time.strftime('%Y%m%d-%H%M%S') + f'-{os.getpid()}.log')


def writer(descriptor):
    """A callable that writes all of its bytes."""
    def write(data):
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left):]
    return write


def show_tail(log):
    with open(log, encoding='utf-8', errors='replace') as file:
        lines = file.read().replace('\r', '').splitlines()
    print(f'linnet: the console said last (all of it: {log}):', file=sys.stderr)
    for line in lines[-TAIL_LINES:]:
        print(f'  {line}', file=sys.stderr)


def finish(options, machine, log):
    """The command has ended: take the picture, and wait for the power-off."""
    if options.screenshot:
        machine.screendump(options.screenshot)
    try:
        machine.wait(POWER_OFF_S)
    except Timeout:
        print('linnet: the system did not power off', file=sys.stderr)
        show_tail(log)


def run_command(options, fields):
    log = log_path()
    boot_limit_s = UEFI_TIMEOUT_S if fields['firmware'] == 'uefi' else DIRECT_TIMEOUT_S
    with Machine(serials=['port', 'port'], port_logs=[log], **fields) as machine:
        session = Session(machine.ports[1], options.command, 0, writer(1), writer(2))
        try:
            status = session.run(options.timeout, boot_limit_s)
            finish(options, machine, log)
            return status
        except BrokenPipeError:
            return 128 + signal.SIGPIPE  # who read our output has gone, as `| head` does
        except Timeout:
            print(f'linnet: the command did not end in {options.timeout:g} s', file=sys.stderr)
            if options.screenshot:
                machine.screendump(options.screenshot)
            status = TIMEOUT
        except MachineError as error:
            machine.kill()
            print(f'linnet: {error}. {machine.errors}'.rstrip(), file=sys.stderr)
            status = NO_SYSTEM
        show_tail(log)
        return status


@contextlib.contextmanager
def terminal_kept():
    """QEMU makes the terminal raw, and cannot undo that when it is killed."""
    try:
        saved = termios.tcgetattr(0)
    except termios.error:
        saved = None
    try:
        yield
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def display_backend():
    """A window where there is somewhere to show it and QEMU has the part for it, else none."""
    if not os.environ.get('DISPLAY') and not os.environ.get('WAYLAND_DISPLAY'):
        return 'none'
    for name in ('gtk', 'sdl'):
        # `-display help` lists what is not installed as well
        if qemu_works(['-machine', 'none', '-display', name]):
            return name
    print('linnet: this QEMU shows no window (Debian: package qemu-system-gui); the console is in this terminal', file=sys.stderr)
    return 'none'


def run_session(options, fields):
    """An interactive boot: the serial console in this terminal, a window beside it where there is a display."""
    display = 'none' if options.headless else display_backend()
    if display != 'none' and fields['machine'] != 'microvm':
        fields['vga'] = 'std'
    with terminal_kept(), Machine(serials=['mon:stdio'], stdin=None, stderr=None, display=display, **fields) as machine:
        try:
            return machine.wait(options.timeout)
        except Timeout:
            if options.screenshot:
                machine.screendump(options.screenshot)
            return TIMEOUT


def split_qemu(args):
    """What follows "--" belongs to QEMU."""
    if '--' in args:
        at = args.index('--')
        return args[:at], args[at + 1:]
    return args, []


def main(args):
    args, qemu = split_qemu(args)
    options = parser().parse_args(args)
    options.qemu = qemu
    if options.packages is not None and options.root is None:
        raise CommandError('--packages: needs a --root SUITE to install them in', 2)
    if options.screenshot and options.machine == 'microvm':
        raise CommandError('--screenshot: machine microvm has no screen', 2)
    if options.screenshot and options.command is None and options.timeout is None:
        raise CommandError('--screenshot: needs --timeout, which says when, or --exec', 2)
    if not options.no_build:
        deps.ensure()
        build.build()
    parameters = []
    if options.command is not None:
        parameters = ['console=ttyS0', 'panic=off', 'linnet.exec=ttyS1']
    with tempfile.TemporaryDirectory(prefix='linnet-') as folder:
        try:
            fields = machine_fields(options, folder, parameters)
            return run_command(options, fields) if options.command is not None else run_session(options, fields)
        except (OptionError, MachineError) as error:
            raise CommandError(str(error), 2) from error


def debug(args):
    """Boot stopped and attach gdb, with the kernel's symbols (no slide; linnet-slide follows one) and the helpers of test/command/gdb.py."""
    args, qemu = split_qemu(args)
    options = parser().parse_args(args)
    options.qemu = qemu
    options.firmware = options.firmware or 'direct'
    if not options.no_build:
        deps.ensure()
        build.build()
    log = log_path()
    with tempfile.TemporaryDirectory(prefix='linnet-') as folder:
        fields = machine_fields(options, folder, ['nokaslr', 'console=ttyS0'])
        socket = os.path.join(folder, 'gdb')
        fields['extra'] = fields['extra'] + ['-gdb', f'unix:path={socket},server=on,wait=off']
        print(f'linnet: the console goes to {log}; linnet-thread, linnet-log and linnet-slide are commands here', file=sys.stderr)
        with Machine(serials=['file:' + log], stopped=True, **fields) as machine:
            while not os.path.exists(socket) and machine.running():
                time.sleep(0.01)
            interrupt = signal.signal(signal.SIGINT, lambda number, frame: None)  # gdb's, to stop the kernel
            try:
                return subprocess.run(['gdb', '-q', '-ex', f'directory {build.TOP}', '-ex', f'target remote {socket}',
                                       '-x', os.path.join(build.TOP, 'test', 'command', 'gdb.py'), build.artifact('kernel.debug.elf')],
                                      check=False).returncode
            finally:
                signal.signal(signal.SIGINT, interrupt)
