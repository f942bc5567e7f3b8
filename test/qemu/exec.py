"""The host's half of `linnet run --exec`: one command in the guest, its streams and status as frames over a serial port.

The frames are described in services/init/agent.c, the guest's half.
"""
import os
import select
import struct
import threading
import time

from qemu import MachineError, Timeout

CHUNK = 1024            # payload of one frame to the guest
UNREAD_BYTES = 1 << 20  # output that waits here for a slow reader


def frame(kind, payload=b''):
    return kind + struct.pack('<H', len(payload)) + payload


class NotUp(MachineError):
    """The system did not come so far that it could run the command."""


class Session:
    """
    Runs `command` over `port` (a qemu.Port). Output goes to the callables `stdout` and `stderr` (bytes), input comes from the
    descriptor `stdin`, None: empty. The guest waits when they do.
    """

    def __init__(self, port, command, stdin=None, stdout=None, stderr=None):
        self.port = port
        self.command = os.fsencode(command)
        self.stdin = stdin
        self.stdout = stdout or (lambda data: None)
        self.stderr = stderr or (lambda data: None)
        self.status = None
        self.ready = False
        self._window = 0
        self._window_grew = threading.Condition()
        self._ended = False

    def run(self, timeout_s, boot_timeout_s=None):
        """
        The command's status. Raises Timeout; NotUp when the system was not ready in `boot_timeout_s`; MachineError when the machine
        ended or panicked first.
        """
        start = time.monotonic()
        deadline = start + timeout_s if timeout_s else None
        feeder = threading.Thread(target=self._feed, daemon=True)
        self.port.limit = UNREAD_BYTES
        try:
            if boot_timeout_s is not None and (deadline is None or start + boot_timeout_s < deadline):
                self._skip_firmware(start + boot_timeout_s, NotUp(f'the system did not come up in {boot_timeout_s} s'))
            else:
                self._skip_firmware(deadline, Timeout('the system did not come up in time'))
            while self.status is None:
                kind, payload = self._next_frame(deadline)
                if kind == b'R':
                    self.ready = True
                    self._send_command()
                    feeder.start()
                else:
                    self._handle(kind, payload)
        finally:
            with self._window_grew:
                self._ended = True
                self._window_grew.notify_all()
        return self.status

    def _handle(self, kind, payload):
        if kind == b'O':
            self.stdout(payload)
        elif kind == b'X':
            self.stderr(payload)
        elif kind == b'W':
            with self._window_grew:
                self._window += struct.unpack('<I', payload)[0]
                self._window_grew.notify_all()
        elif kind == b'S':
            self.status = struct.unpack('<I', payload)[0] & 0xff
        else:
            raise MachineError(f'unknown frame {kind!r} from the guest')

    def _next_frame(self, deadline):
        header = self._take(3, deadline)
        return header[:1], self._take(struct.unpack('<H', header[1:])[0], deadline)

    def _skip_firmware(self, deadline, late):
        """UEFI firmware mirrors its console to every serial port: drop text up to the first frame, which has no payload."""
        first = frame(b'R')
        port = self.port
        with port.changed:
            while (at := port.data.find(first)) < 0 and not port.closed:
                left = deadline - time.monotonic() if deadline else None
                if left is not None and left <= 0:
                    raise late
                del port.data[:max(len(port.data) - len(first), 0)]
                port.changed.notify_all()
                port.changed.wait(left if left is not None else 60)
            del port.data[:max(at, 0)]

    def _take(self, count, deadline):
        """Exactly `count` bytes, removed from the port."""
        port = self.port
        with port.changed:
            while len(port.data) < count:
                if port.closed:
                    raise MachineError('the machine ended before the command did')
                left = deadline - time.monotonic() if deadline else None
                if left is not None and left <= 0:
                    raise Timeout('the command did not end in time')
                port.changed.wait(left if left is not None else 60)
            data = bytes(port.data[:count])
            del port.data[:count]
            port.changed.notify_all()
            return data

    def _send_command(self):
        # The guest reads as fast as the line delivers: the command needs no window.
        for start in range(0, len(self.command), CHUNK):
            self.port.send(frame(b'C', self.command[start:start + CHUNK]))
        self.port.send(frame(b'G'))

    def _feed(self):
        """Standard input in pieces that fit the guest's window, then its end."""
        while self.stdin is not None:
            with self._window_grew:
                while self._window == 0 and not self._ended:
                    self._window_grew.wait()
                if self._ended:
                    return
                room = min(self._window, CHUNK)
            try:
                # Wake up now and then, so that a command that ended is noticed while nobody types.
                while not select.select([self.stdin], [], [], 0.2)[0]:
                    if self._ended:
                        return
                data = os.read(self.stdin, room)
            except OSError:
                break  # not readable: a folder, a terminal that hung up
            if not data:
                break
            with self._window_grew:
                self._window -= len(data)
            self.port.send(frame(b'I', data))
        self.port.send(frame(b'E'))
