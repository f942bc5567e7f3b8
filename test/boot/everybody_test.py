"""SysRq-e with many processes: each hears of it, and none of them keeps a real-time thread waiting."""
from boottest import Case, artifact, detectors, expect, run, tail
from exec_test import execute

COUNT = 1000
LATE_NS = 50000  # with -icount, instructions


def everybody():
    program = artifact('test', 'boot', 'everybody')
    status, out, err = execute(f'trap "" TERM; /everybody {COUNT}', '--add', f'{program}:/everybody', '--smp', '1', '--accel', 'tcg,thread=single', '--', '-icount', 'shift=0,sleep=off')
    said = out.decode('utf-8', 'replace')
    figures = dict(line.split() for line in said.splitlines() if len(line.split()) == 2)
    expect(status == 0 and figures.get('heard') == str(COUNT), f'status {status}:\n{tail(said)}\n{tail(err.decode())}')
    expect(int(figures['meanwhile']) < LATE_NS * (20 if detectors() else 1), f'a real-time thread waited for long:\n{said}')


if __name__ == '__main__':
    run([Case('many_are_terminated_while_others_run', everybody)])
