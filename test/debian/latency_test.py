"""No section without interrupts or preemption is longer than `./linnet latency` allows, with cyclictest and stress-ng running: counted, not timed."""
import contextlib
import io

from suite import archive

from boottest import Case, Failed, expect, run  # noqa: E402  (suite.py shows the way)
from build import CommandError  # noqa: E402
import latency  # noqa: E402

SECONDS = '3'  # of the guest's time
MACHINES = [1, 4]  # CPUs


def sections_are_short(cpus):
    archive(latency.PACKAGES.split(','))
    table = io.StringIO()
    try:
        with contextlib.redirect_stdout(table):
            status = latency.main(['--check', '--chains', '--cpus', str(cpus), '--seconds', SECONDS])
    except CommandError as error:
        raise Failed(str(error)) from error
    expect(status == 0, table.getvalue())


def main():
    run([Case(f'no long section on {cpus} CPU{"s" if cpus > 1 else ""}', sections_are_short, cpus) for cpus in MACHINES])


if __name__ == '__main__':
    main()
