#!/usr/bin/env python3
"""guest.py [--timeout SECONDS] [--cpu MODEL] [--append PARAMETERS] [--smp N] PROGRAM [ARGUMENT]...   run a static program inside Linnet; its output and status are ours."""
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    args = sys.argv[1:]
    options = {'--timeout': '300', '--cpu': 'max', '--append': '', '--smp': ''}
    while args[0] in options:
        options[args[0]], args = args[1], args[2:]
    program, rest = args[0], args[1:]
    command = [os.path.join(TOP, 'linnet'), 'run', '--no-build', '--mem', '512M', '--add', f'{program}:/test',
               *(word for option in options.items() for word in option), '--exec', ' '.join(['exec /test'] + rest)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
