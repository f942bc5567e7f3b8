"""Unit tests of usb.py: a plain file stands for the stick, a folder for /sys and /proc. python3 usb_test.py"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), 'userspace', 'image')]
import mkimage  # noqa: E402
import usb  # noqa: E402
from build import CommandError  # noqa: E402

MIB = 1 << 20


class Usb(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = self.folder.name
        self.put('sys/block/sdx/size', '262144\n')
        self.put('sys/block/sdx/device/vendor', 'Acme    \n')
        self.put('sys/block/sdx/device/model', 'Stick 3000 \n')
        self.put('sys/block/sdx/sdx1/partition', '1\n')
        self.put('proc/mounts', '/dev/sdxy / ext4 rw 0 0\nproc /proc proc rw 0 0\n')
        self.put('proc/swaps', 'Filename Type Size Used Priority\n')

    def tearDown(self):
        self.folder.cleanup()

    def put(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)

    def refused(self, sentence, device='/dev/sdx'):
        with self.assertRaisesRegex(CommandError, sentence):
            usb.find(device, self.root)

    def test_model_and_size_are_told(self):
        self.assertEqual(usb.find('/dev/sdx', self.root), ('sdx', 'Acme Stick 3000', 128 * MIB))

    def test_a_partition_is_refused(self):
        self.refused('not a whole disk', '/dev/sdx1')

    def test_a_file_is_refused(self):
        self.refused('not a whole disk', __file__)

    def test_what_is_in_use_is_refused(self):
        self.put('proc/mounts', '/dev/sdx1 /media vfat rw 0 0\n')
        self.refused('/dev/sdx1 is mounted on /media')
        self.put('proc/mounts', '')
        self.put('proc/swaps', 'Filename Type Size Used Priority\n/dev/sdx1 partition 1 0 -2\n')
        self.refused('/dev/sdx1 is swap space')
        self.put('proc/swaps', '')
        self.put('sys/block/sdx/sdx1/holders/dm-0', '')
        self.refused('/dev/sdx1 is part of dm-0')

    def test_a_write_protected_one_is_refused(self):
        self.put('sys/block/sdx/ro', '1\n')
        self.refused('write-protected')

    def written(self, size):
        image, stick = (os.path.join(self.root, name) for name in ('image', 'stick'))
        mkimage.make_image(image, {'linnet/boot.conf': b'x'})
        with open(stick, 'wb') as file:
            file.write(os.urandom(MIB))
            file.truncate(size(os.path.getsize(image)))
        usb.write(image, stick, os.path.getsize(stick))
        with open(image, 'rb') as first, open(stick, 'rb') as second:
            return first.read(), second.read(), stick

    def test_the_image_fills_a_disk_of_its_size(self):
        image, stick, _ = self.written(lambda size: size)
        self.assertTrue(image == stick)

    def test_a_larger_disk_gets_its_backup_table_at_its_end(self):
        image, stick, path = self.written(lambda size: size + 100 * MIB + 512)
        self.assertTrue(image[2048 * 512:-33 * 512] == stick[2048 * 512:len(image) - 33 * 512], 'the partition')
        self.assertEqual(stick[-512:-504], b'EFI PART')
        self.assertEqual(stick.count(b'EFI PART'), 2)
        checker = shutil.which('sgdisk', path='/usr/sbin:/sbin:/usr/bin')
        if checker is not None:
            done = subprocess.run([checker, '-v', path], capture_output=True, text=True, check=False)
            self.assertIn('No problems found', done.stdout)

    def test_a_smaller_disk_is_refused_untouched(self):
        with self.assertRaisesRegex(CommandError, 'too small'):
            self.written(lambda size: size - 512)


if __name__ == '__main__':
    unittest.main()
