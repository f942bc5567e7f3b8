#!/usr/bin/env python3
"""Make a newc cpio archive of a whole root file system, as it is: owners, modes, times, devices, hard links.

    rootcpio.py ROOT OUT      ROOT is a folder or a tar archive (plain, gzip, bzip2, xz)

What newc cannot say is left out: extended attributes, sockets. Hard links: the first name carries the data, all share an inode number.
"""
import os
import shutil
import stat
import sys
import tarfile
from collections import Counter

MAX_FILE_BYTES = (1 << 32) - 1  # a size is eight hex digits
TYPES = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK,
         tarfile.FIFOTYPE: stat.S_IFIFO}


class RootError(Exception):
    """The root cannot be packed, told in one sentence."""


def clean(name):
    """A name without leading "/" and "./"; "." is the root itself."""
    name = os.path.normpath('/' + name).lstrip('/')
    return name or '.'


class Writer:
    """The archive being written: put() for each entry, parents made where the source does not name them."""

    def __init__(self, out, links):
        self.out = out
        self.links = links   # name -> how many further names it has
        self.inodes = {}     # name -> inode number
        self.folders = {'.'}

    def header(self, name, ino, mode, nlink, size_bytes, member):
        name = os.fsencode(name) + b'\0'
        major, minor = (member.devmajor, member.devminor) if member.ischr() or member.isblk() else (0, 0)
        mtime = min(max(int(member.mtime), 0), 0xffffffff)
        fields = (ino, mode, member.uid, member.gid, nlink, mtime, size_bytes, 0, 0, major, minor, len(name), 0)
        self.out.write(b'070701' + b''.join(b'%08X' % field for field in fields) + name)
        self.pad()

    def pad(self):
        self.out.write(b'\0' * (-self.out.tell() % 4))

    def make_parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.folders:
            member = tarfile.TarInfo(parent)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            self.put(parent, member, None)

    def put(self, name, member, data):
        self.make_parents(name)
        if member.isdir():
            self.folders.add(name)
        if member.islnk():
            target = clean(member.linkname)
            if target not in self.inodes:
                raise RootError(f'{name}: a link to {target}, which is not there')
            self.header(name, self.inodes[target], stat.S_IFREG | member.mode & 0o7777, self.links[target] + 1, 0, member)
            return
        ino = self.inodes[name] = len(self.inodes) + 1
        mode = TYPES.get(member.type, stat.S_IFREG) | member.mode & 0o7777
        target = os.fsencode(member.linkname) if member.issym() else b''
        size_bytes = len(target) if member.issym() else member.size if member.isreg() else 0
        if size_bytes > MAX_FILE_BYTES:
            raise RootError(f'{name}: larger than 4 GiB')
        self.header(name, ino, mode, 2 if member.isdir() else self.links[name] + 1, size_bytes, member)
        self.out.write(target)
        if member.isreg():
            shutil.copyfileobj(data, self.out, 1 << 20)
        self.pad()

    def finish(self):
        member = tarfile.TarInfo()
        member.mtime = 0
        self.header('TRAILER!!!', 0, 0, 1, 0, member)
        self.out.write(b'\0' * (-self.out.tell() % 512))


def write(out, members):
    """`members`: (name, TarInfo, function that opens the data) in an order in which links come after what they link to."""
    writer = Writer(out, Counter(clean(member.linkname) for _, member, _ in members if member.islnk()))
    for name, member, opened in members:
        if member.isreg():
            with opened() as data:
                writer.put(name, member, data)
        else:
            writer.put(name, member, None)
    writer.finish()


def folder_members(top):
    """All below a folder, sorted, in the terms of tarfile."""
    terms = tarfile.open(os.devnull, 'w')
    members = []

    def visit(path):
        name = clean(os.path.relpath(path, top))
        member = terms.gettarinfo(path, arcname=name)
        if member is None:
            return  # a socket
        members.append((name, member, lambda: open(path, 'rb')))
        if member.isdir():
            for child in sorted(os.listdir(path)):
                visit(os.path.join(path, child))
    visit(os.path.abspath(top))
    return members


def convert(root, path):
    """Write the archive of the root at `root` to the file `path`."""
    try:
        with open(path, 'wb') as out:
            if os.path.isdir(root):
                write(out, folder_members(root))
                return
            with tarfile.open(root) as tar:
                write(out, [(clean(member.name), member, lambda member=member: tar.extractfile(member)) for member in tar.getmembers()])
    except tarfile.ReadError as error:
        raise RootError(f'{root}: neither a folder nor a tar archive') from error
    except OSError as error:
        raise RootError(f'{error.filename or root}: {error.strerror}') from error


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        convert(sys.argv[1], sys.argv[2])
    except RootError as error:
        sys.exit(f'rootcpio.py: {error}')


if __name__ == '__main__':
    main()
