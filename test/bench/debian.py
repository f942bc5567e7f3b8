"""Debian's Linux kernel: fetched as a package into a cache folder, unpacked there, never installed."""
import glob
import os
import re
import subprocess

META_PACKAGE = 'linux-image-cloud-amd64'


class FetchError(Exception):
    """Why there is no Linux kernel, in one sentence."""


def cached(folder):
    """The newest kernel image below the cache folder, or None."""
    images = glob.glob(os.path.join(folder, '*', 'boot', 'vmlinuz-*'))
    return max(images, key=os.path.getmtime) if images else None


def image_package(show):
    """The package of the image that the meta package depends on, from what `apt-cache show` says."""
    match = re.search(r'^Depends:.*?\b(linux-image-\d[\w.+-]*-cloud-amd64)\b', show, re.M)
    if match is None:
        raise FetchError(f'apt does not know {META_PACKAGE} (apt-get update?)')
    return match[1]


def run(argv, folder=None):
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, errors='replace', check=False)
    except FileNotFoundError as error:
        raise FetchError(f'{argv[0]} is not here: Linux comes from a Debian package') from error
    if done.returncode != 0:
        raise FetchError(f'{" ".join(argv)} failed: {done.stderr.strip()[-500:]}')
    return done.stdout


def unpack(folder, package, where):
    """Download a package into the folder and unpack it in `where`."""
    os.makedirs(folder, exist_ok=True)
    run(['apt-get', 'download', package], folder)
    archives = glob.glob(os.path.join(folder, f'{package}_*.deb'))
    if not archives:
        raise FetchError(f'apt-get download {package} left no package')
    run(['dpkg-deb', '-x', archives[0], where])
    os.unlink(archives[0])


def unpacked(folder, packages):
    """A folder with these packages unpacked, from the cache or by apt."""
    root = os.path.join(folder, '_'.join(packages))
    if not os.path.isdir(root):
        making = f'{root}.new'
        for package in packages:
            unpack(folder, package, making)
        os.rename(making, root)
    return root


def fetch(folder):
    """The path of a kernel image, from the cache folder or by apt."""
    image = cached(folder)
    if image is not None:
        return image
    package = image_package(run(['apt-cache', 'show', '--no-all-versions', META_PACKAGE]))
    unpack(folder, package, os.path.join(folder, package))
    image = cached(folder)
    if image is None:
        raise FetchError(f'{package} has no kernel image')
    return image


def release(image):
    return os.path.basename(image).partition('-')[2]
