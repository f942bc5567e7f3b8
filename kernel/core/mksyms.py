#!/usr/bin/env python3
"""The kernel's symbol table: reads the functions of a linked image, writes an object with the table of kernel/core/ksyms.h.

    mksyms.py NM CLANG IMAGE.elf OUT.o
    mksyms.py --list LIST OUT.bin       LIST: lines "OFFSET NAME", the last one "OFFSET -" the end; for tests
"""
import collections
import os
import struct
import subprocess
import sys
import tempfile

STRIDE = 16
TOKEN_DEPTH_MAX = 30  # below TOKEN_DEPTH_MAX of ksyms.c


def read_image(nm, image):
    """([(offset, name)] sorted, end offset): one name per address, the shortest of the global ones first."""
    output = subprocess.run([nm, '--defined-only', image], capture_output=True, text=True, check=True).stdout
    best, marks = {}, {}
    for line in output.splitlines():
        fields = line.split()
        if len(fields) != 3:
            continue
        address, kind, name = int(fields[0], 16), fields[1], fields[2]
        if name in ('__image_start', '__text_start', '__text_end'):
            marks[name] = address
        elif kind in 'tTwW' and not name.startswith(('.L', '$', '__start_', '__stop_')):
            rank = (kind not in 'TW', len(name), name)
            if address not in best or rank < best[address]:
                best[address] = rank
    if len(marks) < 3:
        return [], 0
    start = marks['__image_start']
    symbols = [(address - start, rank[2]) for address, rank in sorted(best.items())
               if marks['__text_start'] <= address < marks['__text_end']]
    return symbols, marks['__text_end'] - start


def read_list(path):
    with open(path, encoding='ascii') as file:
        rows = [line.split() for line in file if line.strip()]
    symbols = [(int(offset, 0), name) for offset, name in rows]
    return symbols[:-1], symbols[-1][0]


class PairEncoder:
    """Byte-pair encoding: the most frequent pair of neighbouring tokens becomes a token of its own, again and again."""

    def __init__(self, names):
        self.names = [list(name.encode('ascii')) for name in names]
        self.pairs = {token: (token, 0) for token in range(1, 128)}
        self.depth = {token: 1 for token in self.pairs}
        self.counts = collections.Counter()
        self.where = collections.defaultdict(set)
        for i in range(len(self.names)):
            self.count(i, 1)

    def count(self, i, sign):
        name = self.names[i]
        for pair in zip(name, name[1:]):
            self.counts[pair] += sign
            if sign > 0:
                self.where[pair].add(i)

    def free_tokens(self):
        used = {c for name in self.names for c in name}
        return [t for t in range(1, 256) if t not in used]

    def merge(self, pair, token):
        self.pairs[token] = pair
        self.depth[token] = self.depth[pair[0]] + self.depth[pair[1]]
        for i in sorted(self.where.pop(pair)):
            self.count(i, -1)
            old, new, at = self.names[i], [], 0
            while at < len(old):
                if at + 1 < len(old) and (old[at], old[at + 1]) == pair:
                    new.append(token)
                    at += 2
                else:
                    new.append(old[at])
                    at += 1
            self.names[i] = new
            self.count(i, 1)
        del self.counts[pair]

    def run(self):
        for token in self.free_tokens():
            candidates = [(count, pair) for pair, count in self.counts.items()
                          if count > 2 and self.depth[pair[0]] + self.depth[pair[1]] <= TOKEN_DEPTH_MAX]
            if not candidates:
                break
            self.merge(max(candidates)[1], token)


def uleb128(value):
    out = bytearray()
    while True:
        byte = value & 0x7f
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return out


def encode(symbols, end):
    encoder = PairEncoder([name for _, name in symbols])
    encoder.run()
    markers, stream = [], bytearray()
    for i, (offset, _) in enumerate(symbols):
        if i % STRIDE == 0:
            markers.append(struct.pack('<II', offset, len(stream)))
        following = symbols[i + 1][0] if i + 1 < len(symbols) else end
        stream += uleb128(following - offset) + bytes(encoder.names[i]) + b'\0'
    pairs = b''.join(bytes(encoder.pairs.get(token, (0x3f, 0))) for token in range(256))
    header = struct.pack('<IIII', len(symbols), len(markers), len(stream), end)
    return header + b''.join(markers) + pairs + bytes(stream)


def write_object(clang, table, path):
    with tempfile.TemporaryDirectory() as folder:
        binary, source = os.path.join(folder, 'ksyms.bin'), os.path.join(folder, 'ksyms.S')
        with open(binary, 'wb') as file:
            file.write(table)
        with open(source, 'w', encoding='ascii') as file:
            file.write('.section .ksyms,"aR",@progbits\n.balign 8\n.globl ksyms_data\n.hidden ksyms_data\n'
                       '.type ksyms_data,@object\nksyms_data:\n.incbin "ksyms.bin"\n'
                       '.size ksyms_data, . - ksyms_data\n.section .note.GNU-stack,"",@progbits\n')
        subprocess.run([clang, '-target', 'x86_64-linux-gnu', '-c', 'ksyms.S', '-o', os.path.abspath(path)], cwd=folder,
                       check=True)


def main(argv):
    if len(argv) == 4 and argv[1] == '--list':
        with open(argv[3], 'wb') as file:
            file.write(encode(*read_list(argv[2])))
        return 0
    if len(argv) != 5:
        sys.stderr.write(__doc__)
        return 2
    write_object(argv[2], encode(*read_image(argv[1], argv[3])), argv[4])
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
