#!/usr/bin/env python3
"""mknames.py UNISTD_64_H OUT.c: a table of the names of Linux' system calls, from the ABI header."""
import re
import sys

names = {int(number): name for name, number in
         re.findall(r'^#define\s+__NR_(\w+)\s+(\d+)', open(sys.argv[1]).read(), re.M)}
count = max(names) + 1
with open(sys.argv[2], 'w') as out:
    out.write('#include "kernel/linux/syscall.h"\n\nconst char *const syscall_names[] = {\n')
    for number in sorted(names):
        out.write(f'    [{number}] = "{names[number]}",\n')
    out.write(f'}};\n\nconst unsigned syscall_names_count = {count};\n')
