"""A person at the machine: one types on the keyboard and reads the screen, another has a terminal on the serial line."""
import os
import tempfile
import time

from boottest import DIRECT_TIMEOUT_S, UEFI_TIMEOUT_S, Case, Disks, Failed, Machine, MachineError, Skipped, artifact, expect, good_files, run, tail
from screen import FONT, Reader

PROMPT = 'root@linnet'


def read_screen(vm, reader, folder):
    path = os.path.join(folder, 'screen.ppm')
    vm.qmp('screendump', filename=path, format='ppm')
    with open(path, 'rb') as picture:
        return reader.lines(picture.read())


def wait_for_line(vm, reader, folder, wanted, timeout_s):
    """Look at the screen until a line is right; gives the lines."""
    deadline = time.monotonic() + timeout_s
    while True:
        lines = read_screen(vm, reader, folder)
        if any(wanted(line) for line in lines):
            return lines
        if time.monotonic() > deadline:
            raise Failed('the screen says:\n' + tail('\n'.join(line for line in lines if line)))
        time.sleep(0.5)


def keyboard_and_screen():
    """Keys through the i8042, glyphs through the framebuffer: letters, shifted keys, backspace, and what the command prints."""
    if not os.path.exists(FONT):
        raise Skipped(f'{FONT} is not installed')
    reader, disks = Reader(), Disks()
    disk = disks.make(good_files('quiet'))
    with tempfile.TemporaryDirectory() as folder, \
            Machine(firmware='uefi', vga='bochs', disks=[('virtio', disk)], serials=['port']) as vm:
        try:
            wait_for_line(vm, reader, folder, lambda line: line.startswith(PROMPT), UEFI_TIMEOUT_S)
            vm.type_text('echo "$((6*7))" X | tr X Y; lss')
            vm.send_keys('backspace')
            vm.type_text(' -d /proc\n')
            lines = wait_for_line(vm, reader, folder, lambda line: line == '/proc', 30)
        except MachineError as error:
            raise Failed(f'{error}\n{tail(vm.ports[0].text())}') from error
    expect('42 Y' in lines, 'the screen says:\n' + tail('\n'.join(line for line in lines if line)))
    expect(any(line.endswith('# echo "$((6*7))" X | tr X Y; ls -d /proc') for line in lines), 'what was typed was not shown as it is')
    disks.close()


def serial_conversation():
    """A shell on the serial console: echo, editing, interrupt, stop and continue, end of file."""
    with Machine(kernel=artifact('kernel.elf'), initrd=artifact('userspace', 'image', 'initramfs.cpio'), append='console=ttyS0 quiet panic=off linnet.defects=panic',
                 serials=['port']) as vm:
        port = vm.ports[0]
        steps = [
            ('echo $((6*7))\r', r'\n42\r\n'),                              # echo, and a line's end both ways
            ('echo abX\x7fc\r', r'\nabc\r\n'),                             # erase
            # A key that comes before the command has the terminal is the shell's: so the command says when it runs.
            ('(echo on; exec sleep 100)\r', r'\non\r\n'), ('\x03', PROMPT),  # interrupt
            ('(echo on; exec sleep 100)\r', r'\non\r\n'), ('\x1a', 'Stopped'), ('jobs\r', r'\[1\]\+ +Stopped +\(echo on; exec sleep 100\)'),
            ('fg\r', r'\n\(echo on'), ('\x03', PROMPT),
            ('(echo on; exec cat)\r', r'\non\r\n'), ('hello\r', r'hello\r\nhello\r\n'), ('\x04', PROMPT),   # end of file
            ('stty -a | head -n 1\r', 'speed'),
        ]
        try:
            port.wait_for(PROMPT, DIRECT_TIMEOUT_S)
            for send, answer in steps:
                port.send(send)
                port.wait_for(answer, 30)
            port.send('poweroff\r')
            status = vm.wait(60)
        except MachineError as error:
            raise Failed(f'{error}\n{tail(port.text())}') from error
    expect(status == 0, f'QEMU ended with {status}')


def requests_to_the_kernel():
    """Alt+SysRq and a key, and a break on the serial console and a key, as far as /proc/sys/kernel/sysrq lets them; /proc/sysrq-trigger always."""
    with Machine(kernel=artifact('kernel.elf'), initrd=artifact('userspace', 'image', 'initramfs.cpio'), append='console=ttyS0 loglevel=8 panic=off linnet.defects=panic',
                 serials=['port']) as vm:
        port = vm.ports[0]

        def send_break(key):
            vm.qmp('chardev-send-break', id='ser0')
            time.sleep(0.3)  # of the five seconds
            port.send(key)

        try:
            port.wait_for(PROMPT, DIRECT_TIMEOUT_S)
            port.send('cat /proc/sys/kernel/sysrq\r')
            port.wait_for(r'\n438\r\n', 30)
            vm.send_keys('alt', 'sysrq', 't')
            port.wait_for('sysrq: This sysrq operation is disabled', 30)
            port.send('echo 1 > /proc/sys/kernel/sysrq; echo all of them\r')
            port.wait_for(r'\nall of them', 30)
            vm.send_keys('alt', 'sysrq', 't')
            port.wait_for(r'sysrq: Show State', 30)
            port.wait_for(r'task:sh +state:. pid:', 30)
            vm.send_keys('alt', 'sysrq', 'h')
            port.wait_for(r'sysrq: HELP :.* reboot\(b\).* show-task-states\(t\)', 30)
            send_break('m')
            port.wait_for(r'sysrq: Show Memory[^$]*Mem-Info: total:', 30)
            send_break('s')
            port.wait_for(r'sysrq: Emergency Sync[^$]*Emergency Sync complete', 30)
            send_break('4')
            port.wait_for('sysrq: Loglevel set to 4', 30)
            port.send('cat /proc/sys/kernel/printk\r')
            port.wait_for(r'\n4\t', 30)
            port.send('echo 0 > /proc/sys/kernel/sysrq; sleep 1000 & echo none of them\r')
            port.wait_for(r'\nnone of them', 30)
            send_break('b')
            port.send('echo still here; echo 64 > /proc/sys/kernel/sysrq; echo ends\r')
            port.wait_for(r'\nends', 30)
            send_break('i')
            port.wait_for('sysrq: Kill All Tasks', 30)
            port.wait_for(PROMPT, 60)  # of the next shell
            port.send('echo o > /proc/sysrq-trigger\r')
            status = vm.wait(60)
        except MachineError as error:
            raise Failed(f'{error}\n{tail(port.text())}') from error
    expect(status == 0, f'QEMU ended with {status}')


if __name__ == '__main__':
    run([
        Case('a command typed on the keyboard shows its text on the screen', keyboard_and_screen),
        Case('a conversation with the shell on the serial line', serial_conversation),
        Case('requests to the kernel by keys, on the keyboard and the serial line', requests_to_the_kernel),
    ])
