"""linnet usb: write the disk image to a stick, and only to what its owner has seen described and agreed to.

Interface: find() says what a device is and refuses what is in use; write() copies the image, with the backup of the partition table at the
end of the larger disk (UEFI 2.10, 5.3.2). `root` is where /sys and /proc are: a folder of its own in tests.
"""
import os
import struct
import zlib

from build import CommandError

SECTOR = 512
STEP_BYTES = 4 << 20


def read_text(path, default=''):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return default


def users(root, name):
    """Who uses a disk or one of its partitions: mounts, swap, volumes above."""
    folder = os.path.join(root, 'sys/block', name)
    parts = [name] + sorted(entry for entry in os.listdir(folder) if os.path.exists(os.path.join(folder, entry, 'partition')))
    found = []
    for part in parts:
        for line in read_text(os.path.join(root, 'proc/mounts')).splitlines():
            if os.path.realpath(line.split()[0]) == f'/dev/{part}':
                found.append(f'/dev/{part} is mounted on {line.split()[1]}')
        for line in read_text(os.path.join(root, 'proc/swaps')).splitlines()[1:]:
            if os.path.realpath(line.split()[0]) == f'/dev/{part}':
                found.append(f'/dev/{part} is swap space')
        holders = os.path.join(folder, '' if part == name else part, 'holders')
        for holder in sorted(os.listdir(holders)) if os.path.isdir(holders) else []:
            found.append(f'/dev/{part} is part of {holder}')
    return found


def find(device, root='/'):
    """(name, model, size in bytes) of a whole disk that nobody uses."""
    name = os.path.basename(os.path.realpath(device))
    folder = os.path.join(root, 'sys/block', name)
    if not os.path.isdir(folder):
        raise CommandError(f'{device} is not a whole disk')
    busy = users(root, name)
    if busy:
        raise CommandError(f'{device} is in use: ' + ', '.join(busy))
    if read_text(os.path.join(folder, 'ro')).strip() == '1':
        raise CommandError(f'{device} is write-protected')
    words = [read_text(os.path.join(folder, 'device', part)).strip() for part in ('vendor', 'model')]
    backing = read_text(os.path.join(folder, 'loop/backing_file')).strip()
    model = ' '.join(filter(None, words)) or (f'loop device on {backing}' if backing else 'unknown model')
    return name, model, int(read_text(os.path.join(folder, 'size'), '0')) * SECTOR


def with_checksum(header):
    """A GPT header with its own checksum (UEFI 2.10, table 5.5)."""
    size, = struct.unpack_from('<I', header, 12)
    struct.pack_into('<I', header, 16, 0)
    struct.pack_into('<I', header, 16, zlib.crc32(header[:size]))
    return bytes(header)


def move_backup(disk, size_bytes):
    """Put the backup table at the disk's end, and let both headers say so."""
    disk.seek(SECTOR)
    header = bytearray(disk.read(SECTOR))
    table_lba, count, entry_bytes = struct.unpack_from('<QII', header, 72)
    old_backup, = struct.unpack_from('<Q', header, 32)
    sectors = count * entry_bytes // SECTOR
    last = size_bytes // SECTOR - 1
    disk.seek(table_lba * SECTOR)
    table = disk.read(sectors * SECTOR)
    struct.pack_into('<QQ', header, 24, 1, last)
    struct.pack_into('<Q', header, 48, last - sectors - 1)        # last usable
    primary = with_checksum(header)
    struct.pack_into('<QQ', header, 24, last, 1)
    struct.pack_into('<Q', header, 72, last - sectors)
    backup = with_checksum(header)
    disk.seek((last - sectors) * SECTOR)
    disk.write(table + backup)
    disk.seek(SECTOR)
    disk.write(primary)
    if old_backup < last - sectors:
        disk.seek(old_backup * SECTOR)
        disk.write(bytes(SECTOR))                                 # no second truth
    disk.seek(446 + 12)                                           # the protective partition's size (UEFI 2.10, table 5.3)
    disk.write(struct.pack('<I', min(last, 0xffffffff)))


def write(image, device, size_bytes):
    """Copy the image file to a device of so many bytes."""
    if os.path.getsize(image) > size_bytes:
        raise CommandError(f'{device} is too small: {size_bytes >> 20} MiB, the image has {os.path.getsize(image) >> 20} MiB')
    with open(image, 'rb') as source, open(device, 'r+b') as disk:
        while chunk := source.read(STEP_BYTES):
            disk.write(chunk)
        disk.flush()
        if size_bytes // SECTOR * SECTOR > os.path.getsize(image):
            move_backup(disk, size_bytes)
        disk.flush()
        os.fsync(disk.fileno())
