"""No section without interrupts or preemption is longer than `./linnet latency` allows, with cyclictest and stress-ng running: counted, not timed."""
import contextlib
import io

from suite import archive

from boottest import Case, Failed, run  # noqa: E402  (suite.py shows the way)
import latency  # noqa: E402

SECONDS = 3  # of the guest's time
MACHINES = [1, 4]  # CPUs


def sections_are_short(cpus):
    archive(latency.PACKAGES.split(','))
    latency.build_variant()
    options = latency.parser().parse_args(['--seconds', str(SECONDS)])
    kinds, cyclic = latency.parse_output(latency.run_machine(options, cpus))
    table = io.StringIO()
    with contextlib.redirect_stdout(table):
        longest = latency.show(cpus, kinds, cyclic, options.worst, lines=True)
    if not 0 < longest <= latency.LIMIT:
        raise Failed(f'{longest} instructions, not 1 to {latency.LIMIT}:\n{table.getvalue()}')


def main():
    run([Case(f'no long section on {cpus} CPU{"s" if cpus > 1 else ""}', sections_are_short, cpus) for cpus in MACHINES])


if __name__ == '__main__':
    main()
