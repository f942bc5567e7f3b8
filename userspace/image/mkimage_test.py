"""Unit tests of mkimage.py, with a small reader of its own: python3 mkimage_test.py"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mkimage  # noqa: E402

FILES = {'EFI/BOOT/BOOTX64.EFI': os.urandom(40000), 'linnet/boot.conf': b'kernel = \\k\n', 'linnet/kernel.elf': os.urandom(513),
         'linnet/a name of more than thirteen characters.txt': b'x', 'linnet/empty': b''}


class Reader:
    """Reads a FAT32 volume (FAT specification 1.03), trusting nothing that mkimage knows."""

    def __init__(self, data):
        self.data = data
        self.sector, self.per_cluster, self.reserved, self.fats = struct.unpack_from('<HBHB', data, 11)
        self.fat_sectors, = struct.unpack_from('<I', data, 36)
        self.root, = struct.unpack_from('<I', data, 44)
        self.start = (self.reserved + self.fats * self.fat_sectors) * self.sector

    def chain(self, cluster):
        data, size = b'', self.per_cluster * self.sector
        while 2 <= cluster < 0x0ffffff8:
            at = self.start + (cluster - 2) * size
            data += self.data[at:at + size]
            cluster, = struct.unpack_from('<I', self.data, self.reserved * self.sector + cluster * 4)
            cluster &= 0x0fffffff
        return data

    def entries(self, cluster):
        long_name = ''
        data = self.chain(cluster)
        for at in range(0, len(data), 32):
            entry = data[at:at + 32]
            if entry[0] == 0:
                return
            if entry[11] == 0x0f:
                units = entry[1:11] + entry[14:26] + entry[28:32]
                long_name = units.decode('utf-16-le').split('\0')[0].rstrip('\uffff') + long_name
                continue
            if not entry[11] & 0x08 and entry[0:1] != b'.':
                base, extension = entry[:8].decode().rstrip(), entry[8:11].decode().rstrip()
                name = long_name or base + ('.' + extension if extension else '')
                high, low, size = struct.unpack('<H4xHI', entry[20:32])
                yield name, entry[11], high << 16 | low, size
            long_name = ''

    def files(self, cluster=None, folder=''):
        found = {}
        for name, attributes, first, size in self.entries(cluster or self.root):
            if attributes & 0x10:
                found |= self.files(first, folder + name + '/')
            else:
                found[folder + name] = self.chain(first)[:size] if size else b''
        return found


class Image(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, 'a.img')
        mkimage.make_image(self.path, FILES)
        with open(self.path, 'rb') as image:
            self.data = image.read()

    def tearDown(self):
        self.folder.cleanup()

    def volume(self):
        first, last = struct.unpack_from('<QQ', self.data, 2 * 512 + 32)
        return self.data[first * 512:(last + 1) * 512]

    def test_every_file_is_read_back(self):
        self.assertEqual(Reader(self.volume()).files(), FILES)

    def test_the_same_files_give_the_same_bytes(self):
        other = os.path.join(self.folder.name, 'b.img')
        mkimage.make_image(other, FILES)
        with open(other, 'rb') as image:
            self.assertEqual(image.read(), self.data)

    def test_both_partition_tables_are_whole(self):
        total = len(self.data) // 512
        for lba, other in ((1, total - 1), (total - 1, 1)):
            header = bytearray(self.data[lba * 512:lba * 512 + 92])
            checksum, = struct.unpack_from('<I', header, 16)
            struct.pack_into('<I', header, 16, 0)
            self.assertEqual(zlib.crc32(header), checksum)
            self.assertEqual(struct.unpack_from('<QQ', header, 24), (lba, other))
            table, count, size, table_checksum = struct.unpack_from('<QIII', header, 72)
            self.assertEqual(zlib.crc32(self.data[table * 512:table * 512 + count * size]), table_checksum)

    def test_a_file_system_checker_finds_nothing(self):
        checker = shutil.which('fsck.fat') or shutil.which('fsck.fat', path='/usr/sbin:/sbin')
        if checker is None:
            self.skipTest('no fsck.fat')
        path = os.path.join(self.folder.name, 'volume')
        with open(path, 'wb') as volume:
            volume.write(self.volume())
        done = subprocess.run([checker, '-nv', path], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_the_configuration_names_what_is_there(self):
        self.assertNotIn(b'initramfs', mkimage.boot_conf('', initramfs=False))
        self.assertIn(b'parameters = a b\n', mkimage.boot_conf('a b'))
        with self.assertRaises(SystemExit):
            mkimage.boot_conf('a\nb')


if __name__ == '__main__':
    unittest.main()
