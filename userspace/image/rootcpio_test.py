"""Unit tests of rootcpio.py: archives of folders and of tar files are read back. python3 rootcpio_test.py"""
import io
import os
import stat
import sys
import tarfile
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rootcpio  # noqa: E402


def read_back(path):
    """[(name, fields, data)] of a newc archive, trailer left out."""
    names = ('ino', 'mode', 'uid', 'gid', 'nlink', 'mtime', 'size', 'devmajor', 'devminor', 'rdevmajor', 'rdevminor', 'namesize', 'check')
    found = []
    with open(path, 'rb') as file:
        while True:
            header = file.read(110)
            assert header[:6] == b'070701', header
            fields = dict(zip(names, (int(header[6 + 8 * i:14 + 8 * i], 16) for i in range(13))))
            name = file.read(fields['namesize'])
            assert name.endswith(b'\0')
            file.seek(-file.tell() % 4, os.SEEK_CUR)
            data = file.read(fields['size'])
            file.seek(-file.tell() % 4, os.SEEK_CUR)
            if name == b'TRAILER!!!\0':
                return found
            found.append((os.fsdecode(name[:-1]), fields, data))


def member(name, kind, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


class RootCpio(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = os.path.join(self.folder.name, 'out.cpio')

    def tearDown(self):
        self.folder.cleanup()

    def from_tar(self, *members):
        path = os.path.join(self.folder.name, 'in.tar')
        with tarfile.open(path, 'w:gz') as tar:
            for info, data in members:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        rootcpio.convert(path, self.out)
        return read_back(self.out)

    def test_owner_mode_time_and_data_stay(self):
        found = self.from_tar((member('./a', tarfile.REGTYPE, mode=0o4755, uid=1, gid=2, mtime=77), b'data!'))
        (name, fields, data), = found
        self.assertEqual((name, data), ('a', b'data!'))
        self.assertEqual((fields['mode'], fields['uid'], fields['gid'], fields['mtime'], fields['nlink']), (stat.S_IFREG | 0o4755, 1, 2, 77, 1))

    def test_folders_links_and_devices_are_what_they_were(self):
        found = self.from_tar((member('./', tarfile.DIRTYPE, mode=0o755), b''), (member('./l', tarfile.SYMTYPE, linkname='../x'), b''),
                              (member('./n', tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3), b''))
        self.assertEqual([(name, stat.S_IFMT(fields['mode']), data) for name, fields, data in found],
                         [('.', stat.S_IFDIR, b''), ('l', stat.S_IFLNK, b'../x'), ('n', stat.S_IFCHR, b'')])
        self.assertEqual((found[2][1]['rdevmajor'], found[2][1]['rdevminor']), (1, 3))

    def test_the_first_of_several_names_carries_the_data(self):
        found = self.from_tar((member('a', tarfile.REGTYPE), b'one'), (member('b', tarfile.LNKTYPE, linkname='a'), b''),
                              (member('c', tarfile.LNKTYPE, linkname='./a'), b''))
        self.assertEqual([(name, fields['nlink'], data) for name, fields, data in found], [('a', 3, b'one'), ('b', 3, b''), ('c', 3, b'')])
        self.assertEqual(len({fields['ino'] for _, fields, _ in found}), 1)

    def test_a_link_to_nothing_is_refused(self):
        with self.assertRaisesRegex(rootcpio.RootError, 'b: a link to a'):
            self.from_tar((member('b', tarfile.LNKTYPE, linkname='a'), b''))

    def test_parents_that_are_not_named_are_made(self):
        found = self.from_tar((member('x/y/a', tarfile.REGTYPE), b''))
        self.assertEqual([name for name, _, _ in found], ['x', 'x/y', 'x/y/a'])

    def test_no_name_leads_out_of_the_root(self):
        self.assertEqual([name for name, _, _ in self.from_tar((member('../../a', tarfile.REGTYPE), b''))], ['a'])

    def test_a_folder_is_packed_with_its_links(self):
        top = os.path.join(self.folder.name, 'top')
        os.makedirs(os.path.join(top, 'd'))
        with open(os.path.join(top, 'd', 'f'), 'wb') as file:
            file.write(b'text')
        os.link(os.path.join(top, 'd', 'f'), os.path.join(top, 'g'))
        os.symlink('d/f', os.path.join(top, 's'))
        rootcpio.convert(top, self.out)
        found = {name: (fields, data) for name, fields, data in read_back(self.out)}
        self.assertEqual(sorted(found), ['.', 'd', 'd/f', 'g', 's'])
        self.assertEqual((found['d/f'][1], found['g'][1], found['s'][1]), (b'text', b'', b'd/f'))
        self.assertEqual(found['d/f'][0]['ino'], found['g'][0]['ino'])

    def test_what_is_no_root_is_told(self):
        path = os.path.join(self.folder.name, 'text')
        with open(path, 'w', encoding='ascii') as file:
            file.write('not a tar archive')
        for root, sentence in ((path, 'neither a folder nor a tar archive'), ('/no/such', 'No such file')):
            with self.assertRaisesRegex(rootcpio.RootError, sentence):
                rootcpio.convert(root, self.out)


if __name__ == '__main__':
    unittest.main()
