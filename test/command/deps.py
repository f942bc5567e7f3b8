"""The packages that building and running need: which, why, and how to install them."""
import os
import shutil
import subprocess
import sys

from build import CommandError

# (Debian, Fedora, Arch, what shows that it is there, why); None: not packaged there
PACKAGES = [
    ('clang', 'clang', 'clang', 'clang', 'compiles the kernel, the loader and the user programs'),
    ('lld', 'lld', 'lld', 'ld.lld', 'links them'),
    ('llvm', 'llvm', 'llvm', 'llvm-objcopy', 'strips the kernel, lists its symbols'),
    ('clang-format', 'clang-tools-extra', 'clang', 'clang-format', 'the judge of our layout (lint)'),
    ('libclang-rt-dev', 'compiler-rt', 'compiler-rt', None, 'sanitizers and fuzzer of the host tests'),
    ('meson', 'meson', 'meson', 'meson', 'the build system'),
    ('ninja-build', 'ninja-build', 'ninja', 'ninja', 'runs the build'),
    ('gnu-efi', 'gnu-efi-devel', 'gnu-efi', '/usr/include/efi/efi.h', 'headers of the UEFI interfaces'),
    ('linux-libc-dev', 'kernel-headers', 'linux-api-headers', '/usr/include/linux/errno.h', 'headers of the Linux ABI'),
    ('musl-tools', 'musl-gcc', 'musl', 'musl-gcc', 'C library of our own programs'),
    ('busybox-static', 'busybox', 'busybox', 'busybox', 'the shell and tools of the initramfs'),
    ('libcmocka-dev', 'libcmocka-devel', 'cmocka', '/usr/include/cmocka.h', 'runs the unit tests'),
    ('console-setup-linux', 'terminus-fonts-console', 'terminus-font', None, 'fonts of the virtual terminals'),
    ('qemu-system-x86', 'qemu-system-x86-core', 'qemu-system-x86', 'qemu-system-x86_64', 'the machine to boot on'),
    ('ovmf', 'edk2-ovmf', 'edk2-ovmf', None, 'UEFI firmware for it'),
    ('gdb', 'gdb', 'gdb', 'gdb', 'linnet debug'),
    ('mmdebstrap', 'mmdebstrap', None, 'mmdebstrap', 'linnet run --root SUITE'),
]
MANAGERS = [('apt-get', 0, ['apt-get', 'install', '-y', '--no-install-recommends']), ('dnf', 1, ['dnf', 'install', '-y']),
            ('pacman', 2, ['pacman', '-S', '--noconfirm', '--needed'])]


def installed(package, proof):
    if proof is None:
        if shutil.which('dpkg-query') is None:
            return True
        done = subprocess.run(['dpkg-query', '-W', '-f', '${Status}', package], capture_output=True, text=True, check=False)
        return 'install ok installed' in done.stdout
    if proof.startswith('/'):
        return os.path.exists(proof)
    return shutil.which(proof, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin') is not None


def missing():
    column = manager()[0] or 0
    return [entry for entry in PACKAGES if entry[column] is not None and not installed(entry[0], entry[3])]


def manager():
    for name, column, command in MANAGERS:
        if shutil.which(name):
            return column, command
    return None, None


def install():
    """Install what is missing, saying which and why."""
    lacking = missing()
    if not lacking:
        print('everything is installed')
        return 0
    column, command = manager()
    for entry in lacking:
        print(f'  {entry[column or 0]:<22} {entry[4]}', file=sys.stderr)
    if command is None:
        raise CommandError('no apt, dnf or pacman here: install the packages above (Debian names)')
    names = [entry[column] for entry in lacking]
    if os.geteuid() != 0:
        raise CommandError('not root: run  ' + ' '.join(['sudo'] + command + names))
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    if command[0] == 'apt-get':
        subprocess.run(['apt-get', 'update', '-q'], stdout=subprocess.DEVNULL, env=environment, check=False)
    done = subprocess.run(command + names, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', env=environment, check=False)
    if done.returncode != 0:
        raise CommandError(f'{" ".join(command + names)} failed:\n{done.stdout[-4000:]}')
    return 0


def ensure():
    """Before building: quiet when nothing is missing."""
    if missing():
        install()
