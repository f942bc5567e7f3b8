#!/usr/bin/env python3
"""linnet COMMAND [OPTION]...     build, boot and test Linnet

    run      build what is missing and boot it (run --help has the options)
    test     build and pass the tests; arguments go to `meson test`
    image    make a disk image for a USB stick:  image [FILE]
    usb      write that image to a stick:        usb /dev/sdX
    debug    boot stopped, with gdb attached
    bench    count instructions on Linux and on Linnet (bench --help has the options)
    latency  the longest times without interrupts and preemption (latency --help has the options)
    deps     install the packages that all of this needs
"""
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'qemu'))
sys.path.insert(0, HERE)


def open_streams():
    """Whoever starts us with a standard stream closed must not find a machine's pipe in its place."""
    for descriptor, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


def leave(number, frame):
    """Ended from outside: unwind, so that no machine and no temporary file stays."""
    del frame
    sys.exit(128 + number)


def main():
    open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help', 'help'):
        print(__doc__, end='')
        return 0 if len(sys.argv) > 1 else 2
    name, args = sys.argv[1], sys.argv[2:]
    import commands
    command = commands.COMMANDS.get(name)
    if command is None:
        print(f'linnet: no command "{name}"; `linnet help` lists them', file=sys.stderr)
        return 2
    try:
        return command(args)
    except commands.CommandError as error:
        print(f'linnet: {error}', file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
