"""Terminals at work: job control and full-screen programs on the serial line; virtual terminals, whose picture has to agree with /dev/vcs."""
import os
import re
import tempfile
import time

from boottest import DIRECT_TIMEOUT_S, UEFI_TIMEOUT_S, Case, Disks, Failed, Machine, Skipped, artifact, expect, good_files, run, tail
from exec_test import execute
from screen import FONT, Reader

DISKS = Disks()
PROMPT = r'root@linnet:[^ ]*# (\x1b\[6n)?$'
PROMPT_ON_SCREEN = r'root@linnet:[^ ]*#'


class Talk:
    """A terminal on a serial port: says what one types and waits for what comes, in what came since the last time."""

    def __init__(self, port):
        self._port = port
        self._from = 0

    def expect(self, pattern, timeout_s=60):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            text = self._port.text()[self._from:].replace('\r', '')
            match = re.search(pattern, text, re.MULTILINE)
            if match is not None:
                self._from = len(self._port.text())
                return match
            time.sleep(0.05)
        raise Failed(f'no "{pattern}" on the serial console after\n{tail(self._port.text()[self._from:])}')

    def say(self, text, pattern=PROMPT, timeout_s=60):
        self._port.send(text)
        return self.expect(pattern, timeout_s)

    def type(self, text, pattern=PROMPT):
        """Key by key: some programs throw away what comes at once behind a key."""
        for char in text:
            self._port.send(char)
            time.sleep(0.1)
        return self.expect(pattern)


def jobs_and_programs():
    """Line editing, job control, end of file, signals and full-screen programs, as one uses them."""
    with Machine(kernel=artifact('kernel.elf'), initrd=artifact('userspace', 'image', 'initramfs.cpio'), append='console=ttyS0 panic=off linnet.defects=panic',
                 serials=['port']) as vm:
        talk = Talk(vm.ports[0])
        talk.expect(PROMPT, DIRECT_TIMEOUT_S)
        talk.say('tty\r', r'^/dev/ttyS0\n(.*\n)*' + PROMPT)
        # What is typed before the shell has set the terminal back is taken as it is: the command says when it runs.
        talk.say('echo ready; cat\r', r'^ready\n')
        talk.say('onx\x7fe\r', r'^one\n')  # erase
        talk.say('gone\x15two\r', r'^two\n')  # kill
        talk.say('\x16\x04\r', r'^\x04\n')  # literal next
        talk.say('\x04')  # end of file
        talk.say('(echo ready; exec sleep 100)\r', r'^ready\n')
        talk.say('\x1a', r'Stopped +\(echo ready; exec sleep 100\)\n(.*\n)*' + PROMPT)
        talk.say('jobs\r', r'^\[1\]\+  Stopped +\(echo ready; exec sleep 100\)\n')
        talk.say('fg\r', r'^\(echo ready; exec sleep 100\)\n')
        talk.say('\x03')
        talk.say('echo status $?\r', r'^status 130\n')
        talk.say('stty tostop; (sleep 1; echo behind) &\r')
        talk.say('sleep 2; jobs\r', r'Stopped \(tty output\)')
        talk.say('stty -tostop; fg\r', r'^behind\n')
        talk.say('stty rows 24 cols 80; stty size\r', r'^24 80\n')
        talk.say('vi /tmp/story\r', r'/tmp/story.*%')
        talk.type('ia line\x1b:wq\r')
        talk.say('cat /tmp/story\r', r'^a line\n')
        talk.say('seq 200 | less\r', r'standard input')
        talk.say('/150\r', r'172')  # the last line of that screen
        talk.say('q')
        talk.say('top\r', r'PID +PPID +USER')
        talk.say('q')
        vm.ports[0].send('poweroff\r')
        expect(vm.wait(60) == 0, 'QEMU did not end well')


class Screen:
    """The text on a machine's screen."""

    def __init__(self, machine):
        if not os.path.exists(FONT):
            raise Skipped(f'{FONT} is not installed')
        self._machine, self._reader = machine, Reader()
        self._folder = tempfile.TemporaryDirectory(prefix='linnet-screen-')

    def text(self):
        path = os.path.join(self._folder.name, 'screen.ppm')
        self._machine.qmp('screendump', filename=path, format='ppm')
        with open(path, 'rb') as picture:
            return '\n'.join(self._reader.lines(picture.read()))


def wait_screen(screen, pattern, timeout_s=60):
    end = time.monotonic() + timeout_s
    while True:
        text = screen.text()
        match = re.search(pattern, text, re.MULTILINE)
        if match is not None:
            return text
        if time.monotonic() > end:
            raise Failed(f'no "{pattern}" on the screen:\n{tail(text.rstrip(), 50)}')
        time.sleep(0.5)


def virtual_terminals():
    """Keys typed at the machine arrive, and what the picture shows is what /dev/vcs says."""
    disk = DISKS.make(good_files('console=tty0 panic=off'))
    with Machine(firmware='uefi', memory='512M', vga='std', disks=[('virtio', disk)], serials=['port']) as vm:
        screen = Screen(vm)
        talk = Talk(vm.ports[0])
        talk.expect(PROMPT, UEFI_TIMEOUT_S)
        shown = wait_screen(screen, PROMPT_ON_SCREEN)
        expect('panic' not in shown, 'there is a panic on the screen')
        vm.type_text('echo Typed_{1..2} "&" $((6*7)) | tee /tmp/typed\n')
        wait_screen(screen, r'^Typed_\{1\.\.2\} & 42$')
        talk.say('cat /tmp/typed\r', r'^Typed_\{1\.\.2\} & 42\n')
        vm.type_text('vi /etc/passwd\n')
        wait_screen(screen, r'^root:x:0:0:root:/root:/bin/sh$(.*\n)+~$')
        vm.type_text(':q\n')
        wait_screen(screen, PROMPT_ON_SCREEN)
        vm.send_keys('alt', 'f2')
        wait_screen(screen, PROMPT_ON_SCREEN)
        vm.type_text('tty; clear; printf "\\\\033[7m%s\\\\033[m\\\\n" reversed\n')
        shown = wait_screen(screen, r'^reversed\n' + PROMPT_ON_SCREEN)
        text = talk.say('fold -w 160 < /dev/vcs2 | sed "s/ *$//;/^$/d"; echo end\r', r'^(reversed\n(.*\n)*)end\n')
        expect(text[1].splitlines() == [line for line in shown.splitlines() if line != ''], 'the picture and /dev/vcs2 differ')
        vm.send_keys('alt', 'f1')
        wait_screen(screen, r'Typed')
        vm.send_keys('ctrl', 'alt', 'delete')
        expect(vm.wait(60) == 0, 'QEMU did not end well')


def displays_handed_over():
    """Programs that hold the display are asked for it (test/abi/vts.c)."""
    status, out, err = execute('/test vt', '--firmware', 'uefi', '--add', artifact('test', 'abi', 'abi') + ':/test', '--', '-device', 'VGA')
    said = out.decode('utf-8', 'replace')
    expect(status == 0 and 'ok 2' in said and 'SKIP' not in said, f'status {status}:\n{tail(said)}\n{tail(err.decode())}')


if __name__ == '__main__':
    run([
        Case('job control and full-screen programs on the serial line', jobs_and_programs),
        Case('virtual terminals show what /dev/vcs says', virtual_terminals),
        Case('who holds the display is asked for it', displays_handed_over),
    ])
