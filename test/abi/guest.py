#!/usr/bin/env python3
"""guest.py [--timeout SECONDS] PROGRAM [ARGUMENT]...   run a static program inside Linnet; its output and status are ours."""
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    args = sys.argv[1:]
    timeout = '300'
    if args[0] == '--timeout':
        timeout, args = args[1], args[2:]
    program, rest = args[0], args[1:]
    command = [os.path.join(TOP, 'linnet'), 'run', '--no-build', '--mem', '512M', '--add', f'{program}:/test', '--timeout', timeout,
               '--exec', ' '.join(['exec /test'] + rest)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
