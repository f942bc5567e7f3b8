"""Runtimes with threads of their own, node, java and Go: what a program says on Linnet is, byte for byte, what it says in a chroot on this Linux.

The programs are compiled on this Linux, by the root's own compilers: that takes a minute elsewhere, and is no part of the question.
"""
import difflib
import os
import re
import shutil
import subprocess
import tempfile

from suite import HERE, archive, cpus, on_linnet, on_linux, tail, unpack

from boottest import Case, Failed, Skipped, run  # noqa: E402  (suite.py shows the way)

PACKAGES = ['golang-go', 'nodejs', 'openjdk-17-jdk-headless', 'openjdk-17-jre-headless']
PROGRAMS = os.path.join(HERE, 'runtimes')
LINNET_S, LINUX_S = 900, 300


def parts(answer, where):
    status, out, err = answer
    text = out.decode(errors='replace')
    if '== end' not in text:
        raise Failed(f'{where}: status {status}, it did not come to its end:\n{tail(text)}\n{tail(err.decode(errors="replace"))}')
    return dict(re.findall(r'^== (\S+)\n((?:.*\n)*?)(?=^== )', text, re.MULTILINE))


class Runtimes:
    """Both sides' results, found out when the first case asks."""

    def __init__(self):
        self.sides = None
        self.failure = None

    def find(self):
        with tempfile.TemporaryDirectory(prefix='linnet-runtimes-') as folder:
            unpack(archive(PACKAGES), folder)
            shutil.copytree(PROGRAMS, os.path.join(folder, 'runtimes'))
            status, out, err = on_linux(folder, 'sh /runtimes/run build 2>&1', LINUX_S)
            if status != 0:
                raise Failed(f'the programs do not compile:\n{tail((out + err).decode(errors="replace"))}')
            linux = parts(on_linux(folder, 'sh /runtimes/run 2>&1', LINUX_S), 'Linux')
            linnet = on_linnet('sh /runtimes/run 2>&1', LINNET_S, '--smp', str(cpus(4)), '--add', f'{folder}/runtimes:/runtimes', packages=PACKAGES)
            self.sides = linux, parts(linnet, 'Linnet')

    def compare(self, name):
        if self.sides is None and self.failure is None:
            try:
                self.find()
            except (Failed, Skipped, subprocess.TimeoutExpired) as error:
                self.failure = error
        if self.failure is not None:
            raise self.failure
        expected, found = (side.get(name, '').splitlines() for side in self.sides)
        if not expected:
            raise Failed('it says nothing')
        if expected != found:
            raise Failed('\n'.join(difflib.unified_diff(expected, found, 'Linux', 'Linnet', lineterm='', n=1)))


def main():
    runtimes = Runtimes()
    run([Case(name, runtimes.compare, name) for name in ('node', 'java', 'go')])


if __name__ == '__main__':
    main()
