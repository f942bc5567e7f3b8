"""What the boot tests share: where the built things are, images made of them, and cases reported as TAP.

A test file is a list of cases, functions that return nothing and raise Failed (or any MachineError) with a sentence:

    run([Case('boots from nvme', boots_from_nvme), ...])
"""
import json
import os
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(TOP, 'test', 'qemu'), os.path.join(TOP, 'userspace', 'image')]

import mkimage  # noqa: E402
from exec import Session  # noqa: E402
from qemu import UEFI_TIMEOUT_S, Machine, MachineError, OptionError  # noqa: E402,F401

BUILD = os.environ.get('LINNET_BUILD', os.path.join(TOP, 'build'))
DIRECT_TIMEOUT_S = 120
SKIP_STATUS = 77


class Failed(Exception):
    """A case did not go as it should, told in one sentence."""


class Skipped(Exception):
    """A case cannot run here, and why."""


class Case:
    def __init__(self, name, function, *args):
        self.name, self.function, self.args = name, function, args


def artifact(*parts):
    path = os.path.join(BUILD, *parts)
    if not os.path.exists(path):
        raise Skipped(f'{os.path.join(*parts)} is not built')
    return path


def detectors():
    """The kernel's build options that look for its faults: they take memory and time, so that figures are others, and tell some faults first."""
    with open(artifact('meson-info', 'intro-buildoptions.json'), encoding='utf-8') as file:
        options = {option['name']: option['value'] for option in json.load(file)}
    found = {name for name in ('kasan', 'ubsan') if options[name]}
    return found | ({'debug'} if options['kernel_build'] == 'debug' else set())


def read(*parts):
    with open(artifact(*parts), 'rb') as file:
        return file.read()


# Console on the first serial port, the command for run_in() on the second, and an end when something goes wrong: in kernels with detectors
# (LINNET_BUILD=build/sanitize/kasan) that is the first defect told.
SHORT_PARAMETERS = 'console=ttyS0 panic=off linnet.exec=ttyS1'  # they fit a line of the loader's menu
PARAMETERS = f'{SHORT_PARAMETERS} linnet.defects=panic'


def run_in(machine, command, timeout_s=DIRECT_TIMEOUT_S, powers_off=True, hear=lambda data: None):
    """What `command` prints in a machine that was started with PARAMETERS and serials ['port', 'port']; a machine that can powers off then.
    `hear` is told at once."""
    said = bytearray()

    def take(data):
        said.extend(data)
        hear(data)
    try:
        status = Session(machine.ports[1], command, None, take, take).run(timeout_s)
        expect(not powers_off or machine.wait(60) == 0, 'QEMU did not end well')
    except MachineError as error:
        raise Failed(f'{error}\n{tail(machine.ports[0].text())}') from error
    text = said.decode('utf-8', 'replace')
    expect(status == 0, f'"{command}" ended with status {status}:\n{tail(text)}')
    return text


def good_files(append=''):
    """The files of a system partition that boots, to be changed at will before make_disk()."""
    return mkimage.boot_files(read('loader', 'efi', 'BOOTX64.EFI'), read('kernel.elf'), read('userspace', 'image', 'initramfs.cpio'), append)


class Disks:
    """A folder of disk images that goes when the test ends."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix='linnet-boot-')
        self._count = 0

    def make(self, files):
        self._count += 1
        path = os.path.join(self._folder.name, f'{self._count}.img')
        mkimage.make_image(path, files)
        return path

    def close(self):
        self._folder.cleanup()


def expect_lines(text, *patterns):
    """Each regular expression is found in `text`."""
    for pattern in patterns:
        expect(re.search(pattern, text, re.MULTILINE) is not None, f'no line like "{pattern}" in\n{tail(text, 60)}')


def memory_total_mib(meminfo):
    match = re.search(r'MemTotal:\s+(\d+) kB', meminfo)
    expect(match is not None, f'no MemTotal in\n{tail(meminfo)}')
    return int(match[1]) // 1024


def expect_memory(meminfo, installed_mib):
    """What the kernel offers is most of what the machine has; a kernel that lost a zone would offer half."""
    total = memory_total_mib(meminfo)
    expect(installed_mib * 0.80 - 8 <= total <= installed_mib, f'{total} MiB of {installed_mib} MiB in /proc/meminfo')


def expect(condition, sentence):
    if not condition:
        raise Failed(sentence)


def tail(text, lines=25):
    return '\n'.join('#   ' + ''.join(c if c.isprintable() else '.' for c in line) for line in text.splitlines()[-lines:])


def run_case(number, case):
    start = time.monotonic()
    try:
        case.function(*case.args)
    except Skipped as reason:
        print(f'ok {number} - {case.name} # SKIP {reason}', flush=True)
        return True
    except (Failed, MachineError, OptionError) as error:
        print(f'not ok {number} - {case.name}', flush=True)
        print(f'{case.name}: {error}', file=sys.stderr, flush=True)  # what the runner shows of a failure
        return False
    print(f'ok {number} - {case.name} # {time.monotonic() - start:.1f} s', flush=True)
    return True


def run(cases):
    """Run the cases whose names contain one of the command line's words (none: all); the process's status is the result."""
    words = sys.argv[1:]
    chosen = [case for case in cases if not words or any(word in case.name for word in words)]
    print(f'1..{len(chosen)}', flush=True)
    good = [run_case(number, case) for number, case in enumerate(chosen, 1)]
    sys.exit(0 if all(good) else 1)
