"""Unit tests of root.py: a script stands for mmdebstrap, the cache is a temporary folder. python3 root_test.py"""
import os
import sys
import tarfile
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import root  # noqa: E402
from build import CommandError  # noqa: E402

MIB = 1 << 20
SOURCES = [('Debian', 'http://mirror/debian/', 'bookworm', 'main'), ('Debian', 'http://mirror/debian/', 'bookworm', 'contrib'),
           ('Debian', 'http://mirror/security/', 'bookworm-security', 'main'), ('Other', 'http://other/', 'other-bookworm', 'main')]


class Sources(unittest.TestCase):
    def test_a_configured_suite_comes_from_its_own_mirrors(self):
        self.assertEqual(root.mirrors('bookworm', SOURCES),
                         ['deb http://mirror/debian/ bookworm main contrib', 'deb http://mirror/security/ bookworm-security main'])

    def test_another_suite_comes_from_the_same_mirror(self):
        self.assertEqual(root.mirrors('trixie', SOURCES), ['deb http://mirror/debian/ trixie main'])

    def test_without_apt_mmdebstrap_chooses(self):
        self.assertEqual(root.mirrors('bookworm', []), [])


class Packages(unittest.TestCase):
    def test_names_are_sorted_and_said_once(self):
        self.assertEqual(root.parse_packages('git,g++, git vim'), ['g++', 'git', 'vim'])
        self.assertEqual(root.parse_packages(None), [])

    def test_no_option_passes_for_a_name(self):
        for text in ('--aptopt=x', '../x', 'A'):
            with self.assertRaisesRegex(CommandError, 'no name of a package'):
                root.parse_packages(text)


class Cache(unittest.TestCase):
    """A script in place of mmdebstrap copies a small archive and writes down how it was called."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.saved = dict(os.environ)
        self.calls = self.at('calls')
        with tarfile.open(self.at('small.tar'), 'w') as tar:
            tar.addfile(tarfile.TarInfo('etc'))
        self.program('mmdebstrap', f'echo "$@" >> {self.calls}; for a; do case $a in */root.tar) cp {self.at("small.tar")} $a; esac; done')
        self.program('apt-get', 'exit 1')
        self.program('apt-config', 'exit 1')
        os.environ['PATH'] = self.at('bin') + ':' + os.environ['PATH']
        os.environ['XDG_CACHE_HOME'] = self.at('cache')

    def tearDown(self):
        os.environ.clear()
        os.environ.update(self.saved)
        self.folder.cleanup()

    def at(self, *names):
        return os.path.join(self.folder.name, *names)

    def program(self, name, script):
        os.makedirs(self.at('bin'), exist_ok=True)
        with open(self.at('bin', name), 'w', encoding='ascii') as file:
            file.write('#!/bin/sh\n' + script + '\n')
        os.chmod(self.at('bin', name), 0o755)

    def count_calls(self):
        with open(self.calls, encoding='ascii') as file:
            return len(file.readlines())

    def test_a_suite_is_made_once_for_each_set_of_packages(self):
        first = root.archive('bookworm', 'git,vim', self.at())
        self.assertEqual(root.archive('bookworm', 'vim,git', self.at()), first)
        self.assertEqual(self.count_calls(), 1)
        self.assertNotEqual(root.archive('bookworm', None, self.at()), first)
        self.assertEqual(self.count_calls(), 2)
        self.assertTrue(first.startswith(self.at('cache')))
        with open(first, 'rb') as file:
            self.assertEqual(file.read(6), b'070701')

    def test_nothing_but_the_archives_stays(self):
        root.archive('bookworm', None, self.at())
        kept = os.listdir(self.at('cache', 'linnet', 'roots'))
        self.assertEqual(sorted(name.rpartition('.')[2] for name in kept), ['cpio', 'lock'])

    def test_a_failure_is_told_and_leaves_nothing_to_boot(self):
        self.program('mmdebstrap', 'echo "E: no such suite"; exit 1')
        with self.assertRaisesRegex(CommandError, 'E: no such suite'):
            root.archive('nosuch', None, self.at())
        self.assertEqual([name for name in os.listdir(self.at('cache', 'linnet', 'roots')) if not name.endswith('.lock')], [])

    def test_without_mmdebstrap_it_says_how_to_get_it(self):
        os.environ['PATH'] = self.at('nothing')
        with self.assertRaisesRegex(CommandError, 'linnet deps'):
            root.archive('bookworm', None, self.at())

    def test_a_folder_takes_no_packages(self):
        with self.assertRaisesRegex(CommandError, 'is not a suite'):
            root.archive(self.at('bin'), 'git', self.at())

    def test_what_is_not_there_is_told(self):
        with self.assertRaisesRegex(CommandError, 'does not exist'):
            root.archive('/no/such/root', None, self.at())


class Memory(unittest.TestCase):
    def test_it_grows_with_the_root(self):
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(4 * MIB)
            self.assertEqual(root.default_memory(file.name), '512M')
            file.truncate(150 * MIB)
            self.assertEqual(root.default_memory(file.name), '832M')


if __name__ == '__main__':
    unittest.main()
