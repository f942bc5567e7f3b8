#!/usr/bin/env python3
"""run.py BUSYBOX     the tour (tour.sh) on this Linux and on Linnet, with the same busybox: the same bytes must come out. TAP."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
# A fresh file system of one kind, applets alone in PATH, no inherited environment.
PREPARE = ('set -e; B={busybox}; rm -rf {dir}; mkdir -p {dir}/bin {dir}/work; for a in $($B --list); do $B ln -s $B {dir}/bin/$a; done; '
           '$B cp {script} {dir}/tour.sh; cd {dir}/work; exec $B env -i PATH={dir}/bin HOME=/root USER=root $B sh {dir}/tour.sh 2>&1')


def on_linux(busybox, folder):
    command = PREPARE.format(busybox=busybox, dir=folder, script=os.path.join(HERE, 'tour.sh'))
    return subprocess.run([busybox, 'sh', '-c', command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False).stdout


def on_linnet(folder):
    command = PREPARE.format(busybox='/bin/busybox', dir=folder, script='/tour.sh')
    done = subprocess.run([os.path.join(TOP, 'linnet'), 'run', '--no-build', '--add', os.path.join(HERE, 'tour.sh') + ':/tour.sh', '--timeout', '300',
                           '--exec', command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return done.stdout


def sections(output):
    """The output cut at the lines that name a command: (name, text) pairs."""
    parts, name, lines = [], 'start', []
    for line in output.decode('utf-8', 'backslashreplace').split('\n'):
        if line.startswith('== '):
            parts.append((name, '\n'.join(lines)))
            name, lines = line[3:], []
        else:
            lines.append(line)
    return parts + [(name, '\n'.join(lines))]


def main():
    with tempfile.TemporaryDirectory(prefix='tour-') as folder:
        folder = '/var/tmp/' + os.path.basename(folder)
        expected = sections(on_linux(sys.argv[1], folder))
        subprocess.run(['rm', '-rf', folder], check=False)
    actual = sections(on_linnet(folder))
    print(f'1..{len(expected)}')
    failed = 0
    for number, (name, text) in enumerate(expected):
        got = actual[number] if number < len(actual) else ('(nothing)', '')
        good = got == (name, text)
        failed += not good
        print(f'{"" if good else "not "}ok {number + 1} - {name.replace("#", "")}')
        if not good:
            print(f'# Linux:  {text!r}'[:600] + f'\n# Linnet: {got!r}'[:600])
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
