#!/usr/bin/env python3
"""linnet COMMAND [OPTION]...     build, boot and test Linnet

    run      build what is missing and boot it (run --help has the options)
    test     build and pass the tests; arguments go to `meson test`
    image    make a disk image for a USB stick:  image [FILE]
    usb      write that image to a stick:        usb /dev/sdX
    debug    boot stopped, with gdb attached
    bench    count instructions on Linux and on Linnet (bench --help has the options)
    deps     install the packages that all of this needs
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'qemu'))
sys.path.insert(0, HERE)


def main():
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
