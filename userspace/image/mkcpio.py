#!/usr/bin/env python3
"""Make a newc cpio archive (the initramfs format), the same bytes each time.

    mkcpio.py OUT ITEM...

    ITEM   PATH:GUESTPATH            a file, or a folder with all below it
           applets:BUSYBOX           /bin, /sbin, /usr/... links to busybox, as `BUSYBOX --list-full` names them
           link:GUESTPATH:TARGET     a symbolic link
           dir:GUESTPATH[:MODE]      an empty folder

Owner is root, times are 0. Names come out sorted, parents first.
"""
import os
import stat
import subprocess
import sys


class Archive:
    def __init__(self):
        self.entries = {}  # guest path without leading slash -> (mode, data)

    def add_dir(self, guest, mode=0o755):
        guest = guest.strip('/')
        if not guest:
            return
        self.add_dir(os.path.dirname(guest))
        self.entries.setdefault(guest, (stat.S_IFDIR | mode, b''))
        if mode != 0o755:
            self.entries[guest] = (stat.S_IFDIR | mode, b'')

    def add(self, guest, mode, data):
        guest = guest.strip('/')
        self.add_dir(os.path.dirname(guest))
        self.entries[guest] = (mode, data)

    def add_link(self, guest, target):
        self.add(guest, stat.S_IFLNK | 0o777, os.fsencode(target))

    def add_path(self, path, guest):
        """A file, symbolic link or folder of this machine, with its permission bits."""
        info = os.lstat(path)
        if stat.S_ISDIR(info.st_mode):
            self.add_dir(guest, stat.S_IMODE(info.st_mode) | 0o700)
            for name in sorted(os.listdir(path)):
                self.add_path(os.path.join(path, name), guest + '/' + name)
        elif stat.S_ISLNK(info.st_mode):
            self.add_link(guest, os.readlink(path))
        elif stat.S_ISREG(info.st_mode):
            with open(path, 'rb') as file:
                self.add(guest, stat.S_IFREG | stat.S_IMODE(info.st_mode), file.read())

    def add_applets(self, busybox):
        names = subprocess.run([busybox, '--list-full'], check=True, capture_output=True, text=True).stdout.split()
        for name in names:
            if name.strip('/') not in self.entries and os.path.basename(name) not in ('init', 'linuxrc', 'busybox'):
                self.add_link(name, '/bin/busybox')

    def write(self, out):
        ino = 1
        for name in sorted(self.entries):
            mode, data = self.entries[name]
            self.record(out, ino, os.fsencode(name), mode, 2 if stat.S_ISDIR(mode) else 1, data)
            ino += 1
        self.record(out, 0, b'TRAILER!!!', 0, 1, b'')
        out.write(b'\0' * (-out.tell() % 512))

    @staticmethod
    def record(out, ino, name, mode, nlink, data):
        fields = (ino, mode, 0, 0, nlink, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out.write(b'070701' + b''.join(b'%08X' % field for field in fields) + name + b'\0')
        out.write(b'\0' * (-out.tell() % 4))
        out.write(data)
        out.write(b'\0' * (-out.tell() % 4))


def add_item(archive, item):
    kind, _, rest = item.partition(':')
    if kind == 'applets':
        archive.add_applets(rest)
    elif kind == 'link':
        archive.add_link(*rest.split(':', 1))
    elif kind == 'dir':
        guest, _, mode = rest.partition(':')
        archive.add_dir(guest, int(mode or '755', 8))
    else:
        archive.add_path(kind, rest or '/' + os.path.basename(kind.rstrip('/')))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    archive = Archive()
    for item in sys.argv[2:]:
        add_item(archive, item)
    with open(sys.argv[1], 'wb') as out:
        archive.write(out)


if __name__ == '__main__':
    main()
