"""Tours of Debian programs: what they print on Linnet is, byte for byte, what they print in the same root on this Linux. One boot for all."""
import difflib
import io
import os
import subprocess
import sys
import tarfile
import tempfile

from suite import HERE, archive, on_linnet, on_linux, tail, unpack

from boottest import Case, Failed, Skipped, run  # noqa: E402  (suite.py shows the way)

TOURS = os.path.join(HERE, 'tours')
LINNET_S, LINUX_S = 900, 300


def results(answer, where):
    """{file name: bytes} of the archive that tours/run prints."""
    status, out, err = answer
    try:
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            found = {os.path.basename(member.name): tar.extractfile(member).read() for member in tar.getmembers() if member.isfile()}
    except tarfile.TarError as error:
        raise Failed(f'{where}: status {status}, no results:\n{tail(err.decode(errors="replace"), 30)}') from error
    return found


class Tours:
    """Both sides' results, found out when the first case asks."""

    def __init__(self, names):
        self.names = names
        self.sides = None
        self.failure = None

    def find(self):
        try:
            path = archive()
            command = 'sh /tours/run ' + ' '.join(self.names)
            with tempfile.TemporaryDirectory(prefix='linnet-debian-') as folder:
                unpack(path, folder)
                subprocess.run(['cp', '-r', TOURS, os.path.join(folder, 'tours')], check=True)
                linux = results(on_linux(folder, command, LINUX_S), 'Linux')
            self.sides = linux, results(on_linnet(command, LINNET_S, '--add', f'{TOURS}:/tours'), 'Linnet')
        except (Failed, Skipped) as error:
            self.failure = error

    def compare(self, name):
        if self.sides is None and self.failure is None:
            self.find()
        if self.failure is not None:
            raise self.failure
        linux, linnet = self.sides
        for kind in ('out', 'err', 'status'):
            file = f'{name}.{kind}'
            expected, found = linux[file], linnet.get(file, b'(nothing)')
            if expected != found:
                sides = [text.decode('utf-8', 'backslashreplace').splitlines() for text in (expected, found)]
                difference = '\n'.join(list(difflib.unified_diff(*sides, 'Linux', 'Linnet', lineterm='', n=1))[:60])
                raise Failed(f'{file} differs:\n{difference}')
        if not linux[f'{name}.out']:
            raise Failed('it says nothing')


def main():
    names = sorted(name[:-3] for name in os.listdir(TOURS) if name.endswith('.sh'))
    names = [name for name in names if name in sys.argv[1:]] or names
    tours = Tours(names)
    run([Case(name, tours.compare, name) for name in names])


if __name__ == '__main__':
    main()
