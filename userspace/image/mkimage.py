"""Make a bootable disk image: a GPT with one EFI system partition, FAT32, filled from files.

    mkimage.py --loader BOOTX64.EFI --kernel kernel.elf [--initramfs FILE] [--append "PARAMETERS"] [--add PATH=FILE]... IMAGE

Needs no root, no mount and no other program; the same files give the same bytes, because every identifier and time in it is fixed.

Formats: UEFI 2.10, 5.3 (GPT) and 13.3 (system partition); Microsoft "FAT32 File System Specification" 1.03 (FAT: the sections named
below), with long names. Sectors are 512 bytes.

    LBA 0       protective MBR          LBA 2048..  the partition: boot sector, FSInfo, ... , FAT, FAT, clusters
    LBA 1       GPT header              end-33..    partition entries again
    LBA 2..33   partition entries       end         GPT header again
"""
import argparse
import struct
import sys
import uuid
import zlib

SECTOR = 512
PARTITION_LBA = 2048
GPT_ENTRIES, GPT_ENTRY_BYTES = 128, 128
GPT_TABLE_SECTORS = GPT_ENTRIES * GPT_ENTRY_BYTES // SECTOR
ESP_TYPE = uuid.UUID('c12a7328-f81f-11d2-ba4b-00a0c93ec93b')      # UEFI 2.10, table 5.7
DISK_GUID = uuid.UUID('2e1c8b5f-7bd7-445d-b534-94a37df079ac')
PARTITION_GUID = uuid.UUID('91320e0b-c52e-44a1-aff7-a173166c8b40')
VOLUME_SERIAL = 0xd3e1621b
LABEL = b'LINNET     '
FAT_DATE, FAT_TIME = (2025 - 1980) << 9 | 1 << 5 | 1, 0           # 2025-01-01 00:00:00

RESERVED_SECTORS = 32
MIN_CLUSTERS = 65525 + 64                                         # fewer would be FAT16
SPARE_BYTES = 16 << 20                                            # room for the user's own files
MIN_BYTES = 64 << 20
END_OF_CHAIN = 0x0fffffff
ATTR_DIRECTORY, ATTR_ARCHIVE, ATTR_LABEL, ATTR_LONG_NAME = 0x10, 0x20, 0x08, 0x0f


class Folder:
    """A folder being filled: names to Folder or bytes, in the order they came."""

    def __init__(self):
        self.children = {}

    def add(self, path, data):
        head, _, rest = path.strip('/\\').replace('\\', '/').partition('/')
        if not rest:
            self.children[head] = data
        else:
            self.children.setdefault(head, Folder()).add(rest, data)

    def count_bytes(self):
        total = SECTOR
        for child in self.children.values():
            total += child.count_bytes() if isinstance(child, Folder) else len(child) + 64 * SECTOR
        return total


def short_checksum(short):
    """Of an 8.3 name, for its long entries (FAT: "Organization and Association of Short & Long Directory Entries")."""
    total = 0
    for byte in short:
        total = ((total & 1) << 7 | total >> 1) + byte & 0xff
    return total


def short_name(name, taken):
    """An 8.3 name, and whether it says all of `name`. Others get ~1, ~2 ... as in FAT: "The Basis-Name Generation Algorithm"."""
    base, dot, extension = name.rpartition('.')
    if not dot:
        base, extension = name, ''

    def clean(text):
        return ''.join(c if c.isalnum() and c.isascii() or c in "$%'-_@~`!(){}^#&" else '_' for c in text.upper().replace('.', ''))

    short = (clean(base)[:8].ljust(8) + clean(extension)[:3].ljust(3)).encode()
    exact = len(base) <= 8 and len(extension) <= 3 and name == name.upper() and name.upper() == clean(base) + dot + clean(extension)
    number = 0
    while not exact and (number == 0 or short in taken):
        number += 1
        tail = f'~{number}'
        short = ((clean(base)[:8 - len(tail)] + tail).ljust(8) + clean(extension)[:3].ljust(3)).encode()
    taken.add(short)
    return short, exact


def directory_entry(short, attributes, cluster, size_bytes):
    return struct.pack('<11sBBBHHHHHHHI', short, attributes, 0, 0, FAT_TIME, FAT_DATE, FAT_DATE, cluster >> 16, FAT_TIME, FAT_DATE,
                       cluster & 0xffff, size_bytes)


def long_entries(name, short):
    """The entries that carry a long name, last part first (FAT: "Long Directory Entries")."""
    units = name.encode('utf-16-le')
    if len(units) % 26:
        units += b'\0\0'
    units += b'\xff' * (-len(units) % 26)
    parts = [units[at:at + 26] for at in range(0, len(units), 26)]
    entries = b''
    for order in range(len(parts), 0, -1):
        part = parts[order - 1]
        entries += struct.pack('<B10sBBB12sH4s', order | (0x40 if order == len(parts) else 0), part[:10], ATTR_LONG_NAME, 0,
                               short_checksum(short), part[10:22], 0, part[22:])
    return entries


class Fat32:
    """A FAT32 volume of `nsectors`, filled by store()."""

    def __init__(self, nsectors, per_cluster):
        self.nsectors, self.per_cluster = nsectors, per_cluster
        # FAT: "FAT Data Structure": a FAT sector describes 128 clusters, and the first two entries describe none
        self.fat_sectors = -(-(nsectors - RESERVED_SECTORS + 2 * per_cluster) // (128 * per_cluster + 2))
        self.nclusters = (nsectors - RESERVED_SECTORS - 2 * self.fat_sectors) // per_cluster
        self.fat = [0x0ffffff8, END_OF_CHAIN]
        self.extents = []                                         # (cluster, bytes)

    def allocate(self, size_bytes):
        """A chain of clusters one after the other; its first, or 0 for an empty file."""
        count = -(-size_bytes // (self.per_cluster * SECTOR))
        first = len(self.fat)
        self.fat += list(range(first + 1, first + count)) + [END_OF_CHAIN] * (count > 0)
        if len(self.fat) > self.nclusters + 2:
            raise SystemExit('mkimage: the volume is full')
        return first if count else 0

    def store_data(self, data):
        cluster = self.allocate(len(data))
        if cluster:
            self.extents.append((cluster, data))
        return cluster

    def store(self, folder, cluster, parent):
        """Write a folder whose cluster chain is allocated already, and all below it."""
        data = directory_entry(LABEL, ATTR_LABEL, 0, 0) if parent is None else (
            directory_entry(b'.          ', ATTR_DIRECTORY, cluster, 0) + directory_entry(b'..         ', ATTR_DIRECTORY, parent, 0))
        taken = set()
        for name, child in folder.children.items():
            short, exact = short_name(name, taken)
            if not exact:
                data += long_entries(name, short)
            if isinstance(child, Folder):
                child_cluster = self.allocate(self.folder_bytes(child))
                # ".." of a folder in the root is 0 (FAT: "Directory Creation")
                self.store(child, child_cluster, 0 if parent is None else cluster)
                data += directory_entry(short, ATTR_DIRECTORY, child_cluster, 0)
            else:
                data += directory_entry(short, ATTR_ARCHIVE, self.store_data(child), len(child))
        self.extents.append((cluster, data))

    @staticmethod
    def folder_bytes(folder):
        entries = 3                                               # . .. and the end, or label and end
        for name in folder.children:
            entries += 1 + -(-(len(name) + 1) // 13)
        return entries * 32

    def boot_sector(self):
        sector = bytearray(SECTOR)
        struct.pack_into('<3s8sHBHBHHBHHHII', sector, 0, b'\xeb\xfe\x90', b'LINNET  ', SECTOR, self.per_cluster, RESERVED_SECTORS, 2, 0,
                         0, 0xf8, 0, 63, 255, PARTITION_LBA, self.nsectors)
        struct.pack_into('<IHHIHH12xBBBI11s8s', sector, 36, self.fat_sectors, 0, 0, 2, 1, 6, 0x80, 0, 0x29, VOLUME_SERIAL, LABEL,
                         b'FAT32   ')
        sector[510:] = b'\x55\xaa'
        return bytes(sector)

    def info_sector(self):
        used = len(self.fat) - 2
        return (struct.pack('<I480xIII12x', 0x41615252, 0x61417272, self.nclusters - used, len(self.fat)) + b'\0\0\x55\xaa')

    def write(self, image, offset):
        table = struct.pack(f'<{len(self.fat)}I', *self.fat)
        for copy in (0, 6):                                       # boot sectors and their backup
            image.seek(offset + copy * SECTOR)
            image.write(self.boot_sector() + self.info_sector())
        for copy in (0, 1):
            image.seek(offset + (RESERVED_SECTORS + copy * self.fat_sectors) * SECTOR)
            image.write(table)
        clusters = offset + (RESERVED_SECTORS + 2 * self.fat_sectors) * SECTOR
        for cluster, data in self.extents:
            image.seek(clusters + (cluster - 2) * self.per_cluster * SECTOR)
            image.write(data)


def make_volume(files):
    """A Fat32 that holds `files` (path to bytes) with room to spare."""
    root = Folder()
    for path, data in files.items():
        root.add(path, data)
    want = max(MIN_BYTES, root.count_bytes() * 101 // 100 + SPARE_BYTES)
    per_cluster = 1 if want <= 260 << 20 else 8                   # FAT: table "DskTableFAT32"
    nsectors = max(want // SECTOR, MIN_CLUSTERS * per_cluster * 102 // 100) + 2047 & ~2047
    volume = Fat32(nsectors, per_cluster)
    volume.store(root, volume.allocate(volume.folder_bytes(root)), None)
    return volume


def gpt_table(nsectors):
    name = 'EFI system partition'.encode('utf-16-le')
    entry = struct.pack('<16s16sQQQ72s', ESP_TYPE.bytes_le, PARTITION_GUID.bytes_le, PARTITION_LBA, PARTITION_LBA + nsectors - 1, 0, name)
    return entry.ljust(GPT_ENTRIES * GPT_ENTRY_BYTES, b'\0')


def gpt_header(table, last_lba, at_lba, other_lba, table_lba):
    def pack(checksum):
        return struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, 92, checksum, 0, at_lba, other_lba, 2 + GPT_TABLE_SECTORS,
                           last_lba - GPT_TABLE_SECTORS - 1, DISK_GUID.bytes_le, table_lba, GPT_ENTRIES, GPT_ENTRY_BYTES, zlib.crc32(table))
    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b'\0')


def protective_mbr(total):
    entry = struct.pack('<B3sB3sII', 0, b'\x00\x02\x00', 0xee, b'\xff\xff\xff', 1, min(total - 1, 0xffffffff))
    return (b'\0' * 446 + entry).ljust(510, b'\0') + b'\x55\xaa'


def make_image(path, files):
    """Write the disk image `path` with `files`, a dictionary of path on the volume to bytes."""
    volume = make_volume(files)
    total = PARTITION_LBA + volume.nsectors + 2048                # the backup table, and a whole number of MiB
    last = total - 1
    table = gpt_table(volume.nsectors)
    with open(path, 'wb') as image:
        image.truncate(total * SECTOR)
        image.write(protective_mbr(total) + gpt_header(table, last, 1, last, 2) + table)
        image.seek((last - GPT_TABLE_SECTORS) * SECTOR)
        image.write(table + gpt_header(table, last, last, 1, last - GPT_TABLE_SECTORS))
        volume.write(image, PARTITION_LBA * SECTOR)


def boot_conf(append='', initramfs=True):
    """The loader's configuration: one entry, started at once."""
    if '\n' in append:
        raise SystemExit('mkimage: kernel parameters are one line')
    lines = ['# What the loader starts: see loader/core/bootconf.h.  A key pressed at the start shows the menu.',
             'kernel = \\linnet\\kernel.elf']
    if initramfs:
        lines.append('initramfs = \\linnet\\initramfs.cpio')
    if append:
        lines.append(f'parameters = {append}')
    return ('\n'.join(lines) + '\n').encode()


def read(path):
    with open(path, 'rb') as source:
        return source.read()


def boot_files(loader, kernel, initramfs=None, append=''):
    """The files of a system partition that boots, by path; the arguments are bytes."""
    files = {'EFI/BOOT/BOOTX64.EFI': loader, 'linnet/boot.conf': boot_conf(append, initramfs is not None), 'linnet/kernel.elf': kernel}
    if initramfs is not None:
        files['linnet/initramfs.cpio'] = initramfs
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--loader', required=True)
    parser.add_argument('--kernel', required=True)
    parser.add_argument('--initramfs')
    parser.add_argument('--append', default='', metavar='PARAMETERS')
    parser.add_argument('--add', action='append', default=[], metavar='PATH=FILE', help='one more file; repeatable')
    parser.add_argument('image')
    options = parser.parse_args()
    files = boot_files(read(options.loader), read(options.kernel), read(options.initramfs) if options.initramfs else None, options.append)
    for word in options.add:
        path, _, source = word.partition('=')
        files[path] = read(source)
    make_image(options.image, files)


if __name__ == '__main__':
    main()
