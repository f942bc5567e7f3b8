"""gdb helpers for the kernel, loaded by `linnet debug`."""
import gdb


def this_cpu():
    """struct cpu of the selected CPU, through its %gs base."""
    base = int(gdb.parse_and_eval('$gs_base'))
    return gdb.Value(base).cast(gdb.lookup_type('struct cpu').pointer())


class CurrentThread(gdb.Command):
    """linnet-thread: the thread that runs on the selected CPU."""

    def __init__(self):
        super().__init__('linnet-thread', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        thread = this_cpu()['current']
        pid = thread['pid']
        number = int(pid['nr']) if int(pid) else 0
        print(f'{thread}  {thread["comm"].string()}  tid {number}  state {int(thread["state"])}  work {int(thread["work"]):#x}')


class Log(gdb.Command):
    """linnet-log: the kernel log so far."""

    def __init__(self):
        super().__init__('linnet-log', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        sequence = int(gdb.parse_and_eval('log_first_sequence()'))
        end = int(gdb.parse_and_eval('log_next_sequence()'))
        print(f'records {sequence}..{end}; the console file has their text')


CurrentThread()
Log()
