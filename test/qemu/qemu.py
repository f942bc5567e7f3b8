"""Runs QEMU for tests, benchmarks and the `linnet` command.

    with Machine(kernel='build/kernel.elf', append='quiet', serials=['port']) as machine:
        machine.ports[0].wait_for('init: ready')
        machine.ports[0].send('ls\n')
        machine.qmp('system_powerdown')
        status = machine.wait(60)

QEMU is a direct child that dies with this process, whatever ends it. A serial port given as 'port' becomes a Port, read all the
time by a thread of its own, so that the guest never stalls; any other word is a backend of options.chardev(). Nothing listens on a
network: a port is a pair of named pipes in a private folder (QEMU writes a byte at a time, and a pipe keeps such bytes together where
a socket keeps a packet of each), the monitor and the debugger are socket pairs.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from errors import MachineError, Timeout  # noqa: E402
from gdbstub import GdbStub  # noqa: E402
from options import Options, OptionError, command_line  # noqa: E402,F401

UEFI_TIMEOUT_S = 300  # firmware on a busy machine: slow, but good
PR_SET_PDEATHSIG = 1
F_SETPIPE_SZ = 1031  # <linux/fcntl.h>
PIPE_BYTES = 1 << 20
GATHER_S = 0.001     # the reader of a port takes what came in so long together


class PortPipes:
    """The named pipes of one port: PATH.out from the guest, PATH.in to it, and QEMU's ends until it has been started."""

    def __init__(self, path):
        self.path = path
        for name in ('out', 'in'):
            os.mkfifo(f'{path}.{name}', 0o600)
        # QEMU opens the pipes by name; that it inherits these ends too makes our ends see its end, however early that comes.
        self.output = os.open(f'{path}.out', os.O_RDONLY | os.O_NONBLOCK)
        self.theirs = [os.open(f'{path}.out', os.O_WRONLY), os.open(f'{path}.in', os.O_RDONLY | os.O_NONBLOCK)]
        self.input = os.open(f'{path}.in', os.O_WRONLY)
        self._ours = [self.output, self.input]
        os.set_blocking(self.output, True)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.output, F_SETPIPE_SZ, PIPE_BYTES)

    def close_theirs(self):
        for end in self.theirs:
            os.close(end)
        self.theirs = []

    def close(self):
        self.close_theirs()
        for end in self._ours:
            os.close(end)
        self._ours = []


class Port:
    """One serial port: everything the guest ever sent, and a way to answer. Threads: one reader; callers hold `changed`."""

    def __init__(self, pipes, name, log=None):
        self.name = name
        self.data = bytearray()          # [changed] all bytes so far, or since they were taken
        self.limit = None                # [changed] who takes bytes away may have the guest wait at so many
        self.mark = 0                    # [changed] wait_for looks behind this offset
        self.closed = False              # [changed] QEMU hung up
        self.changed = threading.Condition()
        self._pipes = pipes
        self._log = log                  # binary file that gets a copy
        self._thread = threading.Thread(target=self._read, name=f'port {name}', daemon=True)
        self._thread.start()

    def _read(self):
        chunk = b'?'
        while chunk:
            chunk = os.read(self._pipes.output, PIPE_BYTES)
            if chunk and self._log is not None:
                self._log.write(chunk)
                self._log.flush()
            with self.changed:
                self.data += chunk
                self.closed = not chunk
                self.changed.notify_all()
                while self.limit is not None and len(self.data) > self.limit:
                    self.changed.wait()
            time.sleep(GATHER_S)

    def send(self, data):
        """Bytes or text to the guest. Blocks when the guest does not read. False: QEMU has gone."""
        data = memoryview(data.encode() if isinstance(data, str) else data)
        try:
            while data:
                data = data[os.write(self._pipes.input, data):]
            return True
        except OSError:
            return False

    def text(self):
        """Everything received, as text without the terminal's carriage returns."""
        with self.changed:
            return bytes(self.data).decode('utf-8', 'replace').replace('\r', '')

    def wait_for(self, pattern, timeout_s):
        """
        Wait until the regular expression `pattern` (text or bytes) is found in what came since the last successful wait. Returns the match;
        raises Timeout, or MachineError when QEMU ends first.
        """
        if isinstance(pattern, str):
            pattern = pattern.encode()
        regex = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                match = regex.search(self.data, self.mark)
                if match is not None:
                    self.mark = match.end()
                    # A match refers to its buffer; hand out one that does not grow.
                    return regex.search(bytes(self.data), match.start())
                left = deadline - time.monotonic()
                if self.closed:
                    raise MachineError(f'{self.name}: the machine ended before "{pattern.decode()}" came')
                if left <= 0:
                    raise Timeout(f'{self.name}: "{pattern.decode()}" did not come in {timeout_s} s')
                self.changed.wait(left)

    def join(self, timeout_s=5):
        """After QEMU's end: wait until its last bytes are read."""
        self._thread.join(timeout_s)

    def close(self):
        """After QEMU's end."""
        with self.changed:
            self.limit = None
            self.changed.notify_all()
        self._thread.join(5)
        if not self._thread.is_alive():
            self._pipes.close()


class Qmp:
    """QEMU's machine protocol (QEMU documentation, "QMP Reference"): one command at a time, events kept in a list."""

    def __init__(self, sock):
        self._sock = sock
        self._file = sock.makefile('rwb')
        self.events = []
        self._receive_object()           # the greeting
        self.call('qmp_capabilities')

    def _receive_object(self):
        line = self._file.readline()
        if not line:
            raise MachineError('the machine ended in the middle of a QMP command')
        return json.loads(line)

    def call(self, command, arguments=None, timeout_s=60):
        self._sock.settimeout(timeout_s)
        request = {'execute': command}
        if arguments:
            request['arguments'] = arguments
        try:
            self._file.write(json.dumps(request).encode() + b'\n')
            self._file.flush()
            while True:
                answer = self._receive_object()
                if 'event' in answer:
                    self.events.append(answer)
                elif 'error' in answer:
                    raise MachineError(f'QMP {command}: {answer["error"]["desc"]}')
                else:
                    return answer.get('return')
        except socket.timeout as error:
            raise Timeout(f'QMP {command}: no answer in {timeout_s} s') from error
        except OSError as error:
            raise MachineError(f'QMP {command}: {error}') from error

    def close(self):
        self._file.close()
        self._sock.close()


# Characters of a US keyboard that are not keys of their own name (QEMU's QKeyCode names).
KEYS = {' ': 'spc', '\n': 'ret', '\t': 'tab', '-': 'minus', '=': 'equal', '[': 'bracket_left', ']': 'bracket_right',
        ';': 'semicolon', "'": 'apostrophe', '`': 'grave_accent', '\\': 'backslash', ',': 'comma', '.': 'dot',
        '/': 'slash', '\x1b': 'esc', '\x7f': 'backspace'}
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', '1234567890-=[];\'`\\,./'))


def keys_of(char):
    """The keys to press together for one character."""
    if char.isascii() and char.isalpha():
        return ['shift', char.lower()] if char.isupper() else [char]
    if char in SHIFTED:
        return ['shift'] + keys_of(SHIFTED[char])
    if char.isdigit():
        return [char]
    if char in KEYS:
        return [KEYS[char]]
    raise MachineError(f'no key for the character {char!r}')


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def asked_for(environment):
    """The fields that hold for every machine whose maker does not say otherwise: the whole test suite runs with so many CPUs, so emulated."""
    return {field: environment[name] for field, name in (('smp', 'LINNET_SMP'), ('accel', 'LINNET_ACCEL')) if environment.get(name)}


class Machine:
    """
    One QEMU. Keyword arguments are the fields of options.Options, and:
      qemu      the program
      port_logs files (paths) that get a copy of what each 'port' sends, by index; None: no copy
      stdin, stdout, stderr   for QEMU itself; its complaints are kept in `errors` by default. Without a stdin it has a session of its own:
                a Ctrl-C in the terminal is for us, or for a debugger
      monitor   False: no QMP
      debugger  True: stopped_by_debugger() works
    """

    def __init__(self, qemu='qemu-system-x86_64', port_logs=(), stdin=subprocess.DEVNULL, stdout=None,
                 stderr=subprocess.PIPE, monitor=True, debugger=False, **fields):
        self.options = Options(**(asked_for(os.environ) | fields))
        self.qemu = qemu
        self.ports = []
        self.process = None
        self.errors = ''
        self._streams = {'stdin': stdin, 'stdout': stdout, 'stderr': stderr}
        self._port_logs = list(port_logs)
        self._open_logs = []
        self._monitor = monitor
        self._qmp = None
        self._qmp_socket = None
        self._debugger = debugger
        self._gdb_socket = None
        self._folder = None

    def _remove_folder(self):
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def argv(self):
        return [self.qemu] + command_line(self.options)

    def _prepare_ports(self):
        """Replace each 'port' by a pair of pipes; returns the sockets that are QEMU's, and the pipes."""
        theirs, ours, serials = [], [], []
        for backend in self.options.serials:
            if backend == 'port':
                if self._folder is None:
                    self._folder = tempfile.TemporaryDirectory(prefix='linnet-ports-')
                ours.append(PortPipes(os.path.join(self._folder.name, str(len(ours)))))
                backend = f'pipe:{ours[-1].path}'
            serials.append(backend)
        self.options.serials = serials
        if self._monitor:
            self._qmp_socket, other = socket.socketpair()
            theirs.append(other)
            self.options.qmp_fd = other.fileno()
        if self._debugger:
            self._gdb_socket, other = socket.socketpair()
            theirs.append(other)
            self.options.gdb_fd = other.fileno()
        return theirs, ours

    def start(self):
        theirs, ours = self._prepare_ports()
        inherited = [end.fileno() for end in theirs] + [end for pipes in ours for end in pipes.theirs]
        try:
            self.process = subprocess.Popen(self.argv(), pass_fds=inherited, preexec_fn=_die_with_parent,
                                            start_new_session=self._streams['stdin'] == subprocess.DEVNULL, **self._streams)
        except FileNotFoundError as error:
            for end in ours + [self._qmp_socket, self._gdb_socket]:
                if end is not None:
                    end.close()
            self._qmp_socket = self._gdb_socket = None
            self._remove_folder()
            raise MachineError(f'{self.qemu} is not installed') from error
        finally:
            for end in theirs:
                end.close()
            for pipes in ours:
                pipes.close_theirs()
        for index, pipes in enumerate(ours):
            log = None
            if index < len(self._port_logs) and self._port_logs[index] is not None:
                log = open(self._port_logs[index], 'wb')
                self._open_logs.append(log)
            self.ports.append(Port(pipes, f'serial {index}', log))
        if self.process.stderr is not None:
            threading.Thread(target=self._read_errors, daemon=True).start()
        if self._gdb_socket is not None and not self.options.stopped:
            GdbStub(self._gdb_socket).greet()
        return self

    @contextlib.contextmanager
    def stopped_by_debugger(self):
        """The machine stands still inside the block; gives a GdbStub."""
        stub = GdbStub(self._gdb_socket)
        stub.stop()
        yield stub
        stub.go()

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors += line.decode('utf-8', 'replace')

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def qmp(self, command, timeout_s=60, **arguments):
        """One QMP command; underscores in argument names stand for dashes. Returns its answer."""
        if self._qmp is None:
            self._qmp_socket.settimeout(timeout_s)
            self._qmp = Qmp(self._qmp_socket)
        return self._qmp.call(command, {name.replace('_', '-'): value for name, value in arguments.items()}, timeout_s)

    def screendump(self, path):
        """A PNG picture of the screen."""
        self.qmp('screendump', filename=os.path.abspath(path), format='png')

    def send_keys(self, *keys):
        """Press and release keys together, by QEMU's names: send_keys('ctrl', 'c')."""
        self.qmp('send-key', keys=[{'type': 'qcode', 'data': key} for key in keys], hold_time=20)

    def type_text(self, text, pause_s=0.04):
        for char in text:
            self.send_keys(*keys_of(char))
            time.sleep(pause_s)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, timeout_s):
        """Wait for QEMU's end; returns its status. Raises Timeout (QEMU still runs then)."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Timeout(f'the machine did not end in {timeout_s} s') from error
        for port in self.ports:
            port.join()
        return status

    def kill(self):
        """End QEMU now, whatever it does, and let go of everything."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for port in self.ports:
            port.close()
        if self._qmp is not None:
            self._qmp.close()
        elif self._qmp_socket is not None:
            self._qmp_socket.close()
        if self._gdb_socket is not None:
            self._gdb_socket.close()
        self._qmp = self._qmp_socket = self._gdb_socket = None
        self._remove_folder()
        for log in self._open_logs:
            log.close()
        self._open_logs = []
