"""linnet run --root: a whole root file system in place of our own: a folder, a tar archive, or a Debian suite made by mmdebstrap.

The guest gets it as its initramfs, so it lives in tmpfs and nothing that runs there changes it here. Our init and its services are the only
files added (overlay()). Suites are made once from the machine's own apt configuration (its mirrors, keys and proxies) and kept in
$XDG_CACHE_HOME/linnet/roots, one archive for each suite and set of packages; nothing is written elsewhere.
"""
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

import build
from build import CommandError

sys.path.insert(0, os.path.join(build.TOP, 'userspace', 'image'))
import rootcpio  # noqa: E402

FORMAT = 1  # of what is kept; a new number makes it anew
PACKAGE = re.compile(r'[a-z0-9][a-z0-9+.-]+')
SUITE = re.compile(r'[a-z][a-z0-9.-]*')
POCKETS = ('', '-updates', '-security')
MIB = 1 << 20


def cache_folder():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(base, 'linnet', 'roots')


def configured_sources():
    """[(origin, URI, suite, component)] of the package lists that apt here knows; none where there is no apt."""
    shown = '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)'
    try:
        done = subprocess.run(['apt-get', 'indextargets', '--format', shown, 'Created-By: Packages'], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    sources = (tuple(line.split('|')) for line in done.stdout.splitlines())
    return list(dict.fromkeys(source for source in sources if len(source) == 4))


def mirrors(suite, sources):
    """One-line sources of a suite: those configured here; else the suite on a configured Debian mirror; else none: mmdebstrap's own choice."""
    wanted = [source for source in sources if source[2] in [suite + pocket for pocket in POCKETS]]
    if not wanted:
        main = [source for source in sources if source[0] == 'Debian' and source[3] == 'main' and '-' not in source[2]]
        wanted = [(origin, uri, suite, component) for origin, uri, _, component in main[:1]]
    components = {}
    for _, uri, release, component in wanted:
        components.setdefault((uri, release), []).append(component)
    return [f'deb {uri} {release} {" ".join(names)}' for (uri, release), names in components.items()]


def proxies():
    """Environment variables for the proxies that apt is told to use here."""
    found = {}
    for scheme in ('http', 'https'):
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run(['apt-config', 'shell', 'proxy', f'Acquire::{scheme}::Proxy'], capture_output=True, text=True, check=False)
            value = done.stdout.strip().partition('=')[2].strip("'\"")
            if value and value != 'DIRECT':
                found[f'{scheme}_proxy'] = value
    return found


def parse_packages(text):
    names = sorted({name for name in re.split(r'[,\s]+', text or '') if name})
    for name in names:
        if not PACKAGE.fullmatch(name):
            raise CommandError(f'--packages: "{name}" is no name of a package', 2)
    return names


def make(suite, packages, sources, path, folder):
    """Run mmdebstrap and keep what it makes as the archive `path`; everything else it writes goes into `folder`."""
    if shutil.which('mmdebstrap') is None:
        raise CommandError(f'--root {suite}: mmdebstrap is not installed; `./linnet deps` installs it')
    tar = os.path.join(folder, 'root.tar')
    argv = ['mmdebstrap', '--variant=minbase', '--format=tar'] + ([f'--include={",".join(packages)}'] if packages else []) + [suite, tar] + sources
    environment = proxies() | dict(os.environ)
    if os.geteuid() == 0:
        environment['TMPDIR'] = folder  # others make the root as a user of a namespace, who may not come in here
    with_packages = f' with {", ".join(packages)}' if packages else ''
    print(f'linnet: making the root {suite}{with_packages}; it is kept as {path}', file=sys.stderr)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                          env=environment, check=False)
    if done.returncode != 0:
        raise CommandError(f'{" ".join(argv)} failed:\n{done.stdout[-3000:].rstrip()}')
    archive = os.path.join(folder, 'root.cpio')
    rootcpio.convert(tar, archive)
    os.replace(archive, path)


def suite_archive(suite, packages):
    """The archive of a suite with packages, from the cache or made now. Whoever comes second while it is made waits for the first."""
    sources = mirrors(suite, configured_sources())
    key = hashlib.sha256('\n'.join([str(FORMAT), suite] + packages + sources).encode()).hexdigest()[:16]
    cache = cache_folder()
    path = os.path.join(cache, f'{suite}-{key}.cpio')
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, f'{suite}-{key}.lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            with tempfile.TemporaryDirectory(prefix='making-', dir=cache) as folder:
                make(suite, packages, sources, path, folder)
    return path


def archive(root, packages, folder):
    """The cpio archive of what --root and --packages name; a folder's or a tar archive's is made in `folder`."""
    packages = parse_packages(packages)
    try:
        if not os.path.exists(root) and SUITE.fullmatch(root):
            return suite_archive(root, packages)
        if packages:
            raise CommandError(f'--packages: {root} is not a suite: there is nothing to install them with', 2)
        if not os.path.exists(root):
            raise CommandError(f'--root: {root} does not exist', 2)
        path = os.path.join(folder, 'root.cpio')
        rootcpio.convert(root, path)
        return path
    except rootcpio.RootError as error:
        raise CommandError(f'--root: {error}') from error


def overlay():
    """What every root gets of ours, as items for mkcpio.py: process 1 and what it starts."""
    services = os.path.join('etc', 'linnet')
    return [build.artifact('services', 'init', 'init') + ':/init', os.path.join(build.TOP, 'userspace', 'image', 'rootfs', services) + f':/{services}']


def default_memory(initramfs, base_mib=512):
    """Memory that leaves as much room as usual beside a root: while it is unpacked it is there twice."""
    size_mib = -(-os.path.getsize(initramfs) // MIB)
    return f'{base_mib if size_mib <= base_mib // 16 else base_mib + -(-2 * size_mib // 64) * 64}M'
