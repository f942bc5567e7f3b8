"""Unit tests of the QEMU command line: python3 options_test.py"""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from options import Options, OptionError, command_line  # noqa: E402
from qemu import Machine, MachineError, keys_of  # noqa: E402

FIRMWARE = ('code.fd', 'vars.fd')


def value_of(args, name):
    return args[args.index(name) + 1]


def values_of(args, name):
    return [args[i + 1] for i, arg in enumerate(args) if arg == name]


class CommandLine(unittest.TestCase):
    def test_direct_boot_names_kernel_initrd_and_parameters(self):
        args = command_line(Options(kernel='k', initrd='i', append='quiet x="a b"'))
        self.assertEqual(value_of(args, '-kernel'), 'k')
        self.assertEqual(value_of(args, '-initrd'), 'i')
        self.assertEqual(value_of(args, '-append'), 'quiet x="a b"')

    def test_direct_boot_without_kernel_is_refused(self):
        with self.assertRaises(OptionError):
            command_line(Options())

    def test_uefi_boot_leaves_the_variable_store_untouched(self):
        args = command_line(Options(firmware='uefi', firmware_files=FIRMWARE, disks=[('nvme', 'd.img')]))
        flash = [drive for drive in values_of(args, '-drive') if 'pflash' in drive]
        self.assertIn('readonly=on', flash[0])
        self.assertIn('snapshot=on', flash[1])

    def test_uefi_boot_takes_no_parameters(self):
        with self.assertRaises(OptionError):
            command_line(Options(firmware='uefi', firmware_files=FIRMWARE, append='quiet'))

    def test_each_kind_of_disk_gets_its_device(self):
        for kind, device in (('nvme', 'nvme,'), ('ahci', 'ide-hd,bus=ahci0.0'), ('virtio', 'virtio-blk-pci'),
                             ('scsi', 'scsi-hd'), ('usb', 'usb-storage,bus=xhci0.0'), ('cdrom', 'scsi-cd')):
            args = command_line(Options(kernel='k', disks=[(kind, 'd.img')]))
            self.assertTrue(any(device in value for value in values_of(args, '-device')), kind)

    def test_first_disk_is_booted_first(self):
        args = command_line(Options(kernel='k', disks=[('nvme', 'a'), ('virtio', 'b')]))
        devices = values_of(args, '-device')
        self.assertIn('bootindex=1', devices[0])
        self.assertIn('bootindex=2', devices[1])

    def test_microvm_has_virtio_disks_without_pci_and_no_others(self):
        args = command_line(Options(machine='microvm', kernel='k', disks=[('virtio', 'd.img')]))
        self.assertTrue(value_of(args, '-device').startswith('virtio-blk-device,'))
        with self.assertRaises(OptionError):
            command_line(Options(machine='microvm', kernel='k', disks=[('nvme', 'd.img')]))

    def test_comma_in_a_path_is_doubled(self):
        args = command_line(Options(kernel='k', disks=[('nvme', 'a,b.img')]))
        self.assertIn('file=a,,b.img', value_of(args, '-drive'))

    def test_a_folder_becomes_a_fat_disk(self):
        with tempfile.TemporaryDirectory() as folder:
            args = command_line(Options(kernel='k', disks=[('usb', folder)]))
            self.assertIn(f'file=fat:rw:{folder}', value_of(args, '-drive'))

    def test_serial_ports_come_in_order(self):
        args = command_line(Options(kernel='k', serials=['stdio', 'null']))
        self.assertEqual(values_of(args, '-serial'), ['chardev:ser0', 'chardev:ser1'])
        self.assertEqual(values_of(args, '-chardev')[0], 'stdio,id=ser0,signal=off')

    def test_unknown_words_are_refused(self):
        for wrong in ({'machine': 'vax'}, {'firmware': 'bios'}, {'vga': 'ega'}, {'serials': ['telnet']},
                      {'disks': [('floppy', 'd.img')]}):
            with self.assertRaises(OptionError):
                command_line(Options(kernel='k', **wrong))


class Keys(unittest.TestCase):
    def test_characters_become_keys_of_a_us_keyboard(self):
        self.assertEqual(keys_of('a'), ['a'])
        self.assertEqual(keys_of('A'), ['shift', 'a'])
        self.assertEqual(keys_of('|'), ['shift', 'backslash'])
        self.assertEqual(keys_of('*'), ['shift', '8'])
        self.assertEqual(keys_of('\n'), ['ret'])
        with self.assertRaises(MachineError):
            keys_of('ß')


class MissingQemu(unittest.TestCase):
    def test_a_missing_qemu_is_told(self):
        with self.assertRaisesRegex(MachineError, 'not installed'):
            Machine(qemu='qemu-that-is-not-there', kernel='k', serials=['port']).start()


if __name__ == '__main__':
    unittest.main()
