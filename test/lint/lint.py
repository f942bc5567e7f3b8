#!/usr/bin/env python3
"""What a machine can see of the house's rules. Each failure names file and line.

    lint.py layers     LAYERS: who may include whom, the longest folder prefix decides
    lint.py format     clang-format is the judge of every C file
    lint.py size       no source file over 1000 lines
    lint.py readme     a README.md in each folder that holds sources
"""
import fnmatch
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = ('.c', '.h', '.S', '.py', '.lds')
# Folders whose parent's README speaks for them.
COVERED = ('hal/*/include/arch', 'hal/x86_64/vdso', 'test/unit/*', 'test/abi/*')
MAX_LINES = 1000


def files(*endings):
    """The tracked files, or all of them where this is no git checkout."""
    listed = subprocess.run('git ls-files', shell=True, cwd=TOP, capture_output=True, text=True, check=False)
    names = listed.stdout.split('\n') if listed.returncode == 0 else [
        os.path.relpath(os.path.join(folder, name), TOP)
        for folder, _, inside in os.walk(TOP) if '/build' not in folder and '/.git' not in folder for name in inside]
    return sorted(name for name in names if name.endswith(endings) and os.path.isfile(os.path.join(TOP, name)))


def read_layers():
    layers = {}
    with open(os.path.join(TOP, 'LAYERS'), encoding='utf-8') as file:
        for line in file:
            line = line.split('#')[0].strip()
            if line:
                folder, _, allowed = line.partition(':')
                layers[folder.strip()] = allowed.split()
    return layers


def room(path, layers):
    """The longest folder (or file) of LAYERS that holds this path, or None."""
    best = None
    for folder in layers:
        if (path == folder or path.startswith(folder + '/')) and (best is None or len(folder) > len(best)):
            best = folder
    return best


def included(path, name):
    """The tree's path of an include, or None when it is not the project's."""
    if name.startswith('arch/'):
        return name
    if os.path.isfile(os.path.join(TOP, name)):
        return name
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    return beside if os.path.isfile(os.path.join(TOP, beside)) else None


def check_layers():
    layers = read_layers()
    # What may be included is named by folders of its own, which need not have a line: keep the prefixes apart.
    for path in files('.c', '.h', '.S', '.def'):
        mine = 'arch' if '/include/arch/' in path else room(path, layers)
        with open(os.path.join(TOP, path), encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
                target = included(path, match.group(1)) if match else None
                if target is None:
                    continue
                if mine is None:
                    yield f'{path}:{number}: no line of LAYERS speaks of this folder'
                    continue
                theirs = 'arch' if target.startswith('arch/') else room(target, layers) or os.path.dirname(target)
                allowed = [mine] + layers[mine]
                if not any(theirs == folder or theirs.startswith(folder + '/') for folder in allowed):
                    yield f'{path}:{number}: {mine} may not include {theirs} ({match.group(1)})'


def check_format():
    for path in files('.c', '.h'):
        done = subprocess.run(['clang-format', '--dry-run', '-Werror', path], cwd=TOP, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            yield done.stderr.split('\n')[0] or f'{path}: clang-format failed'


def check_size():
    for path in files(*SOURCE):
        with open(os.path.join(TOP, path), encoding='utf-8') as file:
            count = sum(1 for _ in file)
        if count > MAX_LINES:
            yield f'{path}:{count}: over {MAX_LINES} lines'


def check_readme():
    for folder in sorted({os.path.dirname(path) for path in files(*SOURCE)}):
        if folder and not os.path.isfile(os.path.join(TOP, folder, 'README.md')) and \
                not any(fnmatch.fnmatch(folder, pattern) for pattern in COVERED):
            yield f'{folder}: no README.md'
    for path in files('README.md'):
        with open(os.path.join(TOP, path), encoding='utf-8') as file:
            count = sum(1 for _ in file)
        if count > 40:
            yield f'{path}:{count}: over 40 lines'


CHECKS = {'layers': check_layers, 'format': check_format, 'size': check_size, 'readme': check_readme}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(__doc__)
    bad = list(CHECKS[sys.argv[1]]())
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
