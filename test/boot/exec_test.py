"""`./linnet run --exec` as its callers see it: bytes, statuses, ends of every kind. Each case is one direct boot."""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time

from boottest import BUILD, TOP, Case, artifact, detectors, expect, run, tail

LINNET = [os.path.join(TOP, 'linnet'), 'run', '--no-build']
LIMIT_S = 200
NO_SYSTEM = 125
TIMER_INTERRUPTS = "awk '/LOC|timer/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n }' /proc/interrupts"


def start(command, *options, **streams):
    artifact('kernel.elf')
    environment = dict(os.environ, LINNET_BUILD=BUILD)
    return subprocess.Popen(LINNET + ['--timeout', str(LIMIT_S), '--exec', command] + list(options), env=environment,
                            **({'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE} | streams))


def execute(command, *options, given=None, **streams):
    """(status, stdout, stderr) of one command."""
    if given is not None:
        streams['stdin'] = subprocess.PIPE
    process = start(command, *options, **streams)
    out, err = process.communicate(given)
    return process.returncode, out, err


def expect_end(command, status, out, err=b'', *options, **how):
    found = execute(command, *options, **how)
    expect(found == (status, out, err), f'"{command}": {found[0]} {found[1][-200:]} {found[2][-2000:]}')


def binary():
    """Every byte value in all three streams, and no byte more: no newline at the end, no carriage returns."""
    data = random.Random(1).randbytes(1 << 20)
    status, out, err = execute('tee /dev/stderr; exit 77', given=data)
    expect(status == 77, f'status {status}')
    for name, stream in (('stdout', out), ('stderr', err)):
        expect(hashlib.sha256(stream).digest() == hashlib.sha256(data).digest(), f'{name} is not what was given: {len(stream)} bytes')


def much_output():
    status, out, _ = execute('dd if=/dev/zero bs=64k count=128 2>/dev/null')
    expect(status == 0 and out == bytes(8 << 20), f'status {status}, {len(out)} bytes')


def statuses():
    """Statuses as $? has them, signals as 128 and their number."""
    for status in (0, 1, 126, 255):
        expect_end(f'exit {status}', status, b'')
    expect_end('printf abc; kill -9 $$', 128 + signal.SIGKILL, b'abc')
    expect_end('no-such-command 2>/dev/null', 127, b'')


def closed_streams():
    """Whoever closes his standard streams gets the end of file, and no harm."""
    def close(*descriptors):
        return lambda: [os.close(descriptor) for descriptor in descriptors]
    expect_end('cat; echo done', 0, b'done\n', preexec_fn=close(0))
    process = start('echo lost; exit 3', stdout=None, stderr=None, preexec_fn=close(0, 1, 2))
    expect(process.wait() == 3, f'status {process.returncode} with nothing open')


def odd_command():
    """A command is bytes, up to what execve(2) takes."""
    expect_end(b'printf "\xff\xfe"', 0, b'\xff\xfe')
    long = 'x' * 100000
    expect_end(f'echo {long} | wc -c', 0, b'100001\n')


def left_behind():
    """What the command leaves running holds nobody, even when it writes on and on."""
    begun = time.monotonic()
    status, out, _ = execute('sleep 1000 & yes & echo first; exit 5')
    expect(status == 5 and b'first\n' in out, f'status {status}, {out[:100]}')
    expect(time.monotonic() - begun < LIMIT_S / 2, 'a background process held the command')


def input_unread():
    """A command that closes or ignores its input does not keep the host writing, nor the guest busy."""
    status, out, _ = execute('exec <&-; sleep 2; cut -d" " -f14,15 /proc/1/stat', given=bytes(1 << 20))
    expect(status == 0, f'status {status}')
    ticks = sum(int(word) for word in out.split())
    expect(ticks < 100, f'process 1 used {ticks / 100} s of processor time while nothing happened')


def reader_gone():
    """Like any program in a pipe whose reader leaves."""
    process = start('yes')
    expect(process.stdout.read(4) == b'y\ny\n', 'no output')
    process.stdout.close()
    status = process.wait()
    expect(status == 128 + signal.SIGPIPE, f'status {status}: {process.stderr.read()[-500:]}')


def too_slow():
    status, out, err = execute('echo begun; sleep 1000', '--timeout', '30' if detectors() else '8')  # the boot is part of it
    expect(status == 124 and out == b'begun\n' and b'init: running /init' in err, f'status {status}, {out}:\n{tail(err.decode())}')


def panic_told():
    status, out, err = execute('echo never', '--append', 'linnet.crash=panic')
    expect(status == NO_SYSTEM and out == b'' and b'panic: asked for' in err, f'status {status}, {out}:\n{tail(err.decode())}')


def call_chains():
    """The key l of sysrq: what each CPU does, those that run a program among them, and who asks."""
    status, out, _ = execute('taskset -c 0 sh -c "while :; do :; done" & taskset -c 1 sh -c "echo l >/proc/sysrq-trigger"; kill $!; dmesg',
                             '--smp', '2')
    text = out.decode()
    expect(status == 0 and 'sysrq: Show backtrace of all active CPUs' in text, f'{status} {text[-500:]}')
    chains = text[text.index('sysrq: Show'):]
    expect('sysrq_write' in chains and 'cpu 1:' in chains, chains)
    expect('cpu 0:' in chains or 'cpu 0 is idle' in chains, chains)


def interrupts_leave():
    """A CPU that goes off gives its interrupt lines away, and has them back when it returns; a line goes where it is told to."""
    cpu = '/sys/devices/system/cpu/cpu1/online'
    expect_end(f'cd /proc/irq/3; echo 1 >smp_affinity_list; cat effective_affinity_list; echo 0 >{cpu}; cat effective_affinity; echo 1 >{cpu}; '
               'cat effective_affinity_list; echo 2 2>/dev/null >smp_affinity_list || echo refused', 0, b'1\n1\n1\nrefused\n', b'', '--smp', '2')


def powered_off():
    """A command that ends the system: orderly, its last words are heard; at once, it is told."""
    # A signal that comes just before the shell begins to wait is looked at when the wait is over: so it waits often.
    expect_end('exec 2>/dev/null; trap "echo bye; exit 9" TERM; echo hello; poweroff; while :; do sleep 0.1; done', 9, b'hello\nbye\n')
    expect_end('trap "" TERM; reboot; while :; do :; done', 128 + signal.SIGKILL, b'')
    status, out, err = execute('echo hello; sleep 1; poweroff -f')
    expect(status == NO_SYSTEM and out == b'hello\n' and b'reboot: power down' in err, f'status {status}, {out}:\n{tail(err.decode())}')


def interrupted():
    """A signal to ./linnet ends the machine and leaves nothing in the temporary folder."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with tempfile.TemporaryDirectory() as folder:
            os.environ['TMPDIR'] = folder
            process = start('echo begun; sleep 1000')
            del os.environ['TMPDIR']
            expect(process.stdout.read(6) == b'begun\n', 'it did not begin')
            process.send_signal(number)
            status = process.wait()
            expect(status == 128 + number, f'status {status}: {process.stderr.read()[-500:]}')
            expect(os.listdir(folder) == [], f'left behind: {os.listdir(folder)}')


def added():
    """--add: files and folders, where they are told to go."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, 'inside'))
        for name in ('a', 'inside/b'):
            with open(os.path.join(folder, name), 'w', encoding='ascii') as file:
                file.write(name)
        os.chmod(os.path.join(folder, 'a'), 0o750)
        expect_end('cat /a /opt/deep/a /data/a /data/inside/b; stat -c " %a %U" /a', 0, b'aaainside/b 750 root\n', b'',
                   '--add', f'{folder}/a', '--add', f'{folder}/a:/opt/deep/a', '--add', f'{folder}:/data')


def other_root():
    """--root: a folder, or a tar archive of it, is all that the guest has, with process 1 of ours and what --add brings."""
    with tempfile.TemporaryDirectory() as folder:
        top = os.path.join(folder, 'root')
        os.makedirs(os.path.join(top, 'bin'))
        shutil.copy(shutil.which('busybox'), os.path.join(top, 'bin', 'busybox'))
        for name in ('sh', 'cat', 'ls', 'stat', 'tee'):
            os.link(os.path.join(top, 'bin', 'busybox'), os.path.join(top, 'bin', name))
        with open(os.path.join(top, 'made-here'), 'w', encoding='ascii') as file:
            file.write('text')
        os.chmod(os.path.join(top, 'made-here'), 0o2640)
        os.chown(os.path.join(top, 'made-here'), os.getuid(), os.getgid())
        archive = os.path.join(folder, 'root.tar.gz')
        with tarfile.open(archive, 'w:gz') as tar:
            tar.add(top, arcname='.')
        command = 'cat /made-here /etc/extra; stat -c " %a %u %g %h" /made-here /bin/sh; ls /usr 2>/dev/null || tee /dev/stderr; exit 5'
        expected = f'textmore 2640 {os.getuid()} {os.getgid()} 1\n 755 {os.getuid()} {os.getgid()} 6\nends'
        with open(os.path.join(folder, 'extra'), 'w', encoding='ascii') as file:
            file.write('more')
        for where in (top, archive):
            expect_end(command, 5, expected.encode(), b'ends', '--root', where, '--add', f'{folder}/extra:/etc/extra', given=b'ends')
        for options, sentence in ((['--root', folder + '/none'], b'does not exist'), (['--root', top, '--packages', 'git'], b'is not a suite'),
                                  (['--packages', 'git'], b'needs a --root SUITE')):
            status, out, err = execute('true', *options)
            expect(status == 2 and out == b'' and sentence in err, f'{options}: {status} {err}')


def root_options():
    """initramfs_options= are those of the root's tmpfs; what makes no sense is left out, and told."""
    expect_end("stat -f -c '%b %S' /", 0, b'16384 4096\n', b'', '--append', 'initramfs_options=size=64m')
    expect_end("dmesg | grep -o 'cannot mount the root with.*'", 0, b'cannot mount the root with "size=x": error 22\n', b'',
               '--append', 'initramfs_options=size=x')


def idle():
    """Nobody polls: an idle system with a command that waits is woken a few times a second at most."""
    status, out, _ = execute(f'{TIMER_INTERRUPTS}; sleep 4; {TIMER_INTERRUPTS}')
    expect(status == 0, f'status {status}')
    before, after = (int(word) for word in out.split())
    expect(after - before <= 40, f'{after - before} timer interrupts in 4 idle seconds')


def busy():
    """A program alone on a CPU in user mode is left to it: a few timer interrupts a second, and its time is told all the same."""
    spin = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; cut -d\" \" -f14 /proc/$$/stat'"
    for cpus in ('1', '4'):
        status, out, _ = execute(f'{TIMER_INTERRUPTS}; {spin}; {TIMER_INTERRUPTS}', '--smp', cpus)
        expect(status == 0, f'status {status}')
        before, ticks, after = (int(word) for word in out.split())
        expect(ticks >= 20, f'{ticks} hundredths of a second: too short to tell')
        expect(after - before <= 20 + ticks / 4, f'{after - before} timer interrupts in {ticks} hundredths of a second')


if __name__ == '__main__':
    run([
        Case('three streams carry every byte', binary),
        Case('megabytes of output', much_output),
        Case('statuses and signals', statuses),
        Case('closed streams', closed_streams),
        Case('a command of odd and of many bytes', odd_command),
        Case('background processes hold nobody', left_behind),
        Case('input that nobody reads', input_unread),
        Case('a reader that leaves', reader_gone),
        Case('a timeout', too_slow),
        Case('a panic', panic_told),
        Case('what all CPUs do', call_chains),
        Case('interrupt lines and a CPU that comes and goes', interrupts_leave),
        Case('a command that powers off', powered_off),
        Case('interrupted from outside', interrupted),
        Case('files and folders added', added),
        Case('another root', other_root),
        Case('options of the root', root_options),
        Case('an idle system sleeps', idle),
        Case('a busy program is not disturbed', busy),
    ])
