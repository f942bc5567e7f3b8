"""What the tests with Debian programs share: the root they run in, on Linnet and in a chroot on this Linux."""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(TOP, 'test', name) for name in ('boot', 'command', 'qemu')]

import build  # noqa: E402
import root  # noqa: E402
from boottest import Skipped, tail  # noqa: E402

SUITE = 'bookworm'
PACKAGES = ('bc cpio dbus file findutils gawk gcc gdb git htop less libc6-dev make mc nano perl procps python3 redis-server redis-tools socat sqlite3 strace '
            'stress-ng sysbench tcc tmux vim xz-utils zstd').split()
UNREACHABLE = r'Failed to fetch|Unable to (fetch|connect|locate)|Could not (resolve|connect|wait)|Temporary failure|[Cc]onnection (failed|timed out|refused)'


def cpus(otherwise):
    """How many CPUs a machine has that is not about their number: LINNET_SMP's, where somebody asks for it (test/qemu)."""
    return int(os.environ.get('LINNET_SMP', str(otherwise)).split(',')[0])


def archive(packages=PACKAGES):
    """The cpio archive of a root with these packages. Skipped where it cannot be made."""
    try:
        return root.archive(SUITE, ','.join(packages), tempfile.gettempdir())
    except build.CommandError as error:
        if 'mmdebstrap is not installed' in str(error):
            raise Skipped('mmdebstrap is not installed; ./linnet deps installs it') from error
        if re.search(UNREACHABLE, str(error)):
            raise Skipped('no archive of Debian packages can be reached from here') from error
        raise


def on_linnet(command, timeout_s, *options, packages=PACKAGES):
    """(status, stdout, stderr) of a command in the root on Linnet."""
    argv = [os.path.join(TOP, 'linnet'), 'run', '--no-build', '--root', SUITE, '--packages', ','.join(packages), '--timeout', str(timeout_s)]
    done = subprocess.run(argv + list(options) + ['--exec', command], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          env=dict(os.environ, LINNET_BUILD=build.BUILD))
    return done.returncode, done.stdout, done.stderr


# A mount and process namespace of its own, so that nothing of it stays: what Linnet's init mounts, and a few of our folders.
IN_CHROOT = '''
set -e
cd "$0"
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
for name in run tmp; do mount -t tmpfs -o mode=1777 tmpfs $name; done
exec chroot . /bin/sh -c "$1"
'''


def unpack(path, folder):
    """Unpack the root as it is, with overlay() as Linnet has it. Skipped where this needs rights that we do not have."""
    if os.geteuid() != 0:
        raise Skipped('only root can unpack a root and enter it')
    with open(path, 'rb') as file:
        done = subprocess.run(['busybox', 'cpio', '-idm'], cwd=folder, stdin=file, capture_output=True, text=True, check=False)
    if not os.path.exists(os.path.join(folder, 'usr', 'bin')):
        raise Skipped(f'the root cannot be unpacked: {done.stderr[-200:].strip()}')
    for item in root.overlay():
        source, _, target = item.partition(':')
        target = folder + target
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.run(['cp', '-r', '--no-preserve=all', source, target], check=True)


def on_linux(folder, command, timeout_s):
    """The same in a chroot here."""
    argv = ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', IN_CHROOT, folder, command]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False,
                              preexec_fn=lambda: os.setpriority(os.PRIO_PROCESS, 0, 0))     # ours shows in what ps says
    except FileNotFoundError as error:
        raise Skipped('no unshare(1) here') from error
    if b'unshare failed' in done.stderr or b'mount:' in done.stderr:
        raise Skipped(f'no namespaces of mounts here: {tail(done.stderr.decode(errors="replace"), 2)}')
    return done.returncode, done.stdout, done.stderr
