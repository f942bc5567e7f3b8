#!/usr/bin/env python3
"""
run.py BUSYBOX     the tour (the .sh files beside this one) on this Linux and on Linnet, with the same busybox: the same bytes must come
out, of at least APPLETS applets. TAP.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PARTS = ['tour.sh', 'tools.sh', 'shell.sh', 'mounts.sh']
APPLETS = 150
# A fresh file system of one kind, applets alone in PATH, no inherited environment.
PREPARE = ('set -e; B={busybox}; rm -rf {dir}; mkdir -p {dir}/bin {dir}/work; for a in $($B --list); do $B ln -s $B {dir}/bin/$a; done; '
           '$B cp {script} {dir}/tour.sh; cd {dir}/work; exec $B env -i PATH={dir}/bin HOME=/root USER=root $B sh {dir}/tour.sh 2>&1')


def may_mount(folder):
    """Whether this Linux lets us mount: without it the tour leaves that part out, on both sides."""
    os.makedirs(folder)
    mounted = subprocess.run(['mount', '-t', 'tmpfs', 'tour', folder], stderr=subprocess.DEVNULL, check=False).returncode == 0
    if mounted:
        subprocess.run(['umount', folder], check=True)
    os.rmdir(folder)
    return mounted


def default_signals():
    """What whoever started us ignores (nohup: SIGHUP) is no part of the comparison."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)


def on_linux(busybox, folder, script):
    command = PREPARE.format(busybox=busybox, dir=folder, script=script)
    return subprocess.run([busybox, 'sh', '-c', command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=200,
                          preexec_fn=default_signals).stdout


def on_linnet(folder, script):
    command = PREPARE.format(busybox='/bin/busybox', dir=folder, script='/tour.sh')
    done = subprocess.run([os.path.join(TOP, 'linnet'), 'run', '--no-build', '--add', script + ':/tour.sh', '--timeout', '300',
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


def applet_of(section, applets):
    """The applet that ran in a section; None when it is not one, was not found or only told its usage."""
    name, text = section
    applet = name.split(' ')[0]
    useless = re.search(r'(: |applet )not found$|^Usage: ', text, re.MULTILINE)
    return applet if applet in applets and not useless else None


def main():
    busybox = sys.argv[1]
    applets = subprocess.run([busybox, '--list'], stdout=subprocess.PIPE, check=True).stdout.decode().split()
    with tempfile.TemporaryDirectory(prefix='tour-') as scratch:
        folder = '/var/tmp/' + os.path.basename(scratch)
        parts = PARTS if may_mount(os.path.join(scratch, 'mnt')) else PARTS[:-1]
        script = os.path.join(scratch, 'tour.sh')
        with open(script, 'w', encoding='utf-8') as out:
            for part in parts:
                with open(os.path.join(HERE, part), encoding='utf-8') as source:
                    out.write(source.read())
        expected = sections(on_linux(busybox, folder, script))
        subprocess.run(['rm', '-rf', folder], check=False)
        actual = sections(on_linnet(folder, script))
    print(f'1..{len(expected) + 1}')
    failed = 0
    seen = set()
    for number, (name, text) in enumerate(expected):
        got = actual[number] if number < len(actual) else ('(nothing)', '')
        good = got == (name, text)
        failed += not good
        print(f'{"" if good else "not "}ok {number + 1} - {name.replace("#", "")}')
        if good:
            seen.add(applet_of(got, applets))
        else:
            print(f'# Linux:  {text!r}'[:1200] + f'\n# Linnet: {got!r}'[:1200])
    seen.discard(None)
    print(f'{"" if len(seen) >= APPLETS else "not "}ok {len(expected) + 1} - {len(seen)} applets, at least {APPLETS}')
    return failed != 0 or len(seen) < APPLETS


if __name__ == '__main__':
    sys.exit(main())
