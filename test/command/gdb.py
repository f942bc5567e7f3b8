"""gdb helpers for the kernel, loaded by `linnet debug`. They read memory and registers only: nothing in the kernel is called.

    linnet-slide    find where the kernel runs (UEFI and PVH choose at random without nokaslr) and move the symbols there
    linnet-thread   the thread that runs on the selected CPU
    linnet-log      the kernel log so far
"""
import gdb

IDT_GATE_BYTES = 16
DIVIDE_ERROR = 0  # the vector of the first entry point, entry_exceptions


def symbol(name):
    """The address of a symbol, as far as gdb knows by now."""
    return int(gdb.parse_and_eval(f'(unsigned long)&{name}'))


def value(name, file):
    """A static variable of `file`."""
    return gdb.parse_and_eval(f"'{file}'::{name}")


def idt_base():
    """The monitor's word for it: gdb's x86 registers have no IDTR."""
    for line in gdb.execute('monitor info registers', to_string=True).splitlines():
        if line.startswith('IDT='):
            return int(line.split()[1], 16)
    raise gdb.GdbError('the monitor does not say where the IDT is')


def handler_address(vector):
    """Where the gate of `vector` leads (Intel SDM volume 3, 6.14.1)."""
    gate = bytes(gdb.selected_inferior().read_memory(idt_base() + vector * IDT_GATE_BYTES, IDT_GATE_BYTES))
    return int.from_bytes(gate[0:2] + gate[6:12], 'little')


class Slide(gdb.Command):
    """linnet-slide: move the symbols to where the kernel runs. Once the kernel has its own IDT."""

    def __init__(self):
        super().__init__('linnet-slide', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        kernel = gdb.objfiles()[0].filename
        offset = handler_address(DIVIDE_ERROR) - symbol('entry_exceptions')
        if offset:
            gdb.execute('symbol-file', to_string=True)
            gdb.execute(f'symbol-file {kernel} -o {offset:#x}', to_string=True)
        print(f'moved by {offset:#x}')


class CurrentThread(gdb.Command):
    """linnet-thread: the thread that runs on the selected CPU."""

    def __init__(self):
        super().__init__('linnet-thread', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        # In user mode the kernel's base is set aside (SWAPGS).
        bases = [int(gdb.parse_and_eval(name)) % (1 << 64) for name in ('$gs_base', '$k_gs_base')]
        base = max(bases)
        if base < 1 << 63:
            raise gdb.GdbError('this CPU has not come into the kernel yet')
        cpu = gdb.Value(base).cast(gdb.lookup_type('struct cpu').pointer())
        thread = cpu['current']
        pid = thread['pid']
        number = int(pid['nr']) if int(pid) else 0
        print(f'{thread}  {thread["comm"].string()}  tid {number}  state {int(thread["state"])}  work {int(thread["work"]):#x}')


class Log(gdb.Command):
    """linnet-log: the kernel log so far."""

    def __init__(self):
        super().__init__('linnet-log', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        file = 'kernel/core/log.c'
        ring, records = value('text_ring', file), value('records', file)
        size, count = ring.type.sizeof, records.type.sizeof // records[0].type.sizeof
        text = bytes(gdb.selected_inferior().read_memory(int(ring.address), size))
        for sequence in range(int(value('first_sequence', file)), int(value('next_sequence', file))):
            record = records[sequence % count]
            at, length = int(record['offset']) % size, int(record['len_bytes'])
            line = (text[at:] + text[:at])[:length].decode('utf-8', 'replace')
            print(f'[{int(record["time"]) / 1e9:12.6f}] {line}')


Slide()
CurrentThread()
Log()
