"""A machine's memory and registers through QEMU's gdb stub, for tests that damage something while the machine stands still.

    with Machine(debugger=True, ...) as machine:        runs as usual
        with machine.stopped_by_debugger() as stub:     stands still inside this block
            stub.write(address, data)

Addresses are virtual, as the current CPU sees them. Protocol: "Debugging with GDB", appendix E, "GDB Remote Serial Protocol".
"""
import socket

from errors import MachineError, Timeout

STEP_BYTES = 1024


def checksum(payload):
    return sum(payload) & 0xff


class GdbStub:
    def __init__(self, sock):
        self._sock = sock
        self._data = b''

    def _byte(self):
        if not self._data:
            try:
                self._data = self._sock.recv(65536)
            except socket.timeout as error:
                raise Timeout('gdb stub: no answer') from error
            if not self._data:
                raise MachineError('gdb stub: the machine ended')
        byte, self._data = self._data[:1], self._data[1:]
        return byte

    def _send(self, payload):
        self._sock.sendall(b'$' + payload + b'#%02x' % checksum(payload))

    def _receive(self):
        """The next packet, acknowledged."""
        while self._byte() != b'$':
            pass                                   # acknowledgements
        payload = b''
        while (byte := self._byte()) != b'#':
            payload += byte
        self._byte()
        self._byte()
        self._sock.sendall(b'+')
        return payload

    def _ask(self, payload):
        self._send(payload)
        answer = self._receive()
        if answer.startswith(b'E'):
            raise MachineError(f'gdb stub: {payload[:30].decode()}: error {answer.decode()}')
        return answer

    def greet(self, timeout_s=60):
        """QEMU waits for a debugger that is there from the start: let it go on."""
        self._sock.settimeout(timeout_s)
        self._ask(b'?')
        self.go()

    def stop(self, timeout_s=30):
        self._sock.settimeout(timeout_s)
        self._sock.sendall(b'\x03')
        self._receive()                            # says why it stopped

    def go(self):
        self._send(b'c')

    def read(self, address, size):
        data = b''
        while len(data) < size:
            step = min(STEP_BYTES, size - len(data))
            data += bytes.fromhex(self._ask(b'm%x,%x' % (address + len(data), step)).decode())
        return data

    def write(self, address, data):
        for at in range(0, len(data), STEP_BYTES):
            step = data[at:at + STEP_BYTES]
            self._ask(b'M%x,%x:%s' % (address + at, len(step), step.hex().encode()))
