"""Configuring and building, through Meson."""
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('LINNET_BUILD', os.path.join(TOP, 'build'))


class CommandError(Exception):
    """What went wrong in one sentence, and the status to exit with."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


def quiet(argv):
    """Run a build step; its output is shown only when it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', check=False)
    if done.returncode != 0:
        raise CommandError(f'{" ".join(argv)} failed:\n{done.stdout}')


def configure():
    if not os.path.exists(os.path.join(BUILD, 'build.ninja')):
        quiet(['meson', 'setup', BUILD, TOP])


def build(targets=()):
    """Bring the default targets, or the named ones, up to date."""
    configure()
    quiet(['ninja', '-C', BUILD] + [os.path.join('userspace', 'image', t) if t.endswith('.img') else t for t in targets])


def artifact(*parts):
    return os.path.join(BUILD, *parts)
