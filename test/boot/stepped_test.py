"""The clock is set while programs wait for a time of day: they wake when that time has come by the new one."""
from boottest import Case, artifact, expect, run, tail
from exec_test import execute

WAYS = 'bitset several lock requeue message sleeping timer'.split()


def stepped(*options):
    program = artifact('test', 'boot', 'stepped')
    status, out, err = execute('/stepped; echo status $?', '--add', f'{program}:/stepped', *options)
    said = out.decode('utf-8', 'replace')
    wanted = ''.join(f'ok {way} {how}\n' for how in ('forward', 'back') for way in WAYS)
    expect(status == 0 and said == wanted + 'status 0\n', f'status {status}:\n{tail(said)}\n{tail(err.decode())}')


if __name__ == '__main__':
    run([Case('waits_follow_the_clock', stepped),
         Case('waits_follow_the_clock_on_4_cpus', stepped, '--smp', '4')])
