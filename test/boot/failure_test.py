"""The loader's failures: each says one sentence and goes back to the firmware.

One boot covers them all: every disk is broken in its own way, and the firmware that gets control back tries the next one.
"""
import re
import struct

from boottest import UEFI_TIMEOUT_S, Case, Disks, Failed, Machine, MachineError, good_files, run, tail

KERNEL = 'linnet/kernel.elf'
PHDR_BYTES = 56
PF_X, PF_W = 1, 2


def program_headers(elf):
    """(offset in the file, fields) of each loadable segment's program header."""
    offset, = struct.unpack_from('<Q', elf, 32)
    count, = struct.unpack_from('<H', elf, 56)
    headers = [(offset + i * PHDR_BYTES, struct.unpack_from('<IIQQQQQQ', elf, offset + i * PHDR_BYTES)) for i in range(count)]
    return [(number, at, fields) for number, (at, fields) in enumerate(headers) if fields[0] == 1]


def without(path):
    def change(files):
        del files[path]
    return change


def replace(path, data):
    def change(files):
        files[path] = data
    return change


def break_magic(files):
    files[KERNEL] = b'MZ' + files[KERNEL][2:]


def cut_in_half(files):
    files[KERNEL] = files[KERNEL][:len(files[KERNEL]) // 2]


def make_writable_and_executable(files):
    elf = bytearray(files[KERNEL])
    for _, at, fields in program_headers(elf):
        if fields[1] & PF_X:
            struct.pack_into('<I', elf, at + 4, fields[1] | PF_W)
    files[KERNEL] = bytes(elf)


def overlap(files):
    """The second loadable segment lands on the first."""
    elf = bytearray(files[KERNEL])
    (_, _, first), (_, at, second) = program_headers(elf)[:2]
    struct.pack_into('<QQQ', elf, at + 8, first[2], first[3], first[4])
    struct.pack_into('<Q', elf, at + 48, second[7])
    files[KERNEL] = bytes(elf)


def move_entry(files):
    elf = bytearray(files[KERNEL])
    struct.pack_into('<Q', elf, 24, 0x1000)
    files[KERNEL] = bytes(elf)


BROKEN = [
    ('a missing kernel', without(KERNEL), r'\\linnet\\kernel\.elf: there is no such file'),
    ('a missing configuration', without('linnet/boot.conf'), r'\\linnet\\boot\.conf: there is no such file'),
    ('a missing initramfs', without('linnet/initramfs.cpio'), r'\\linnet\\initramfs\.cpio: there is no such file'),
    ('a wrong configuration', replace('linnet/boot.conf', b'# x\nkernl = \\k\n'), r'\\linnet\\boot\.conf: line 2: unknown key "kernl"'),
    ('an empty kernel', replace(KERNEL, b''), r'\\linnet\\kernel\.elf: is empty'),
    ('a kernel that is not ELF', break_magic, r'\\linnet\\kernel\.elf: not an ELF file'),
    ('a kernel cut in half', cut_in_half, r'\\linnet\\kernel\.elf: segment \d+ lies beyond the end of the file'),
    ('a writable and executable segment', make_writable_and_executable, r'\\linnet\\kernel\.elf: segment \d+ is writable and executable'),
    ('overlapping segments', overlap, r'\\linnet\\kernel\.elf: segment \d+ (overlaps|shares a page with) segment \d+'),
    ('an entry point outside the image', move_entry, r'\\linnet\\kernel\.elf: the entry point 0x1000 is not in an executable segment'),
]

results = {}  # name of the breakage to None or a Failed


def boot_all(disks):
    paths = []
    for _, change, _ in BROKEN:
        files = good_files()
        change(files)
        paths.append(('virtio', disks.make(files)))
    with Machine(firmware='uefi', disks=paths, serials=['port'], vga='std', memory='256M') as machine:
        port = machine.ports[0]
        for name, _, sentence in BROKEN:
            try:
                port.wait_for(r'linnet: loader on UEFI', UEFI_TIMEOUT_S)
                said = port.wait_for(r'linnet: [^\n]*\n(?=linnet: back)', 60)[0].decode()
                results[name] = None
                if re.search(sentence, said) is None:
                    results[name] = Failed(f'it said: {said.strip()}')
                port.send(' ')  # do not wait 10 s
            except MachineError as error:
                results[name] = Failed(f'{error}\n{tail(port.text())}')
                return
        try:
            port.wait_for('Shell>|Boot Manager|BdsDxe: (failed|loading)', 60)
            results['firmware'] = None
        except MachineError as error:
            results['firmware'] = Failed(str(error))


def verdict(name):
    if not results:
        disks = Disks()
        try:
            boot_all(disks)
        finally:
            disks.close()
    failure = results.get(name, Failed('the boot did not come that far'))
    if failure is not None:
        raise failure


if __name__ == '__main__':
    run([Case(f'{name} is told', verdict, name) for name, _, _ in BROKEN] + [Case('the firmware goes on after all of them', verdict, 'firmware')])
