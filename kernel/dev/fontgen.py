#!/usr/bin/env python3
"""Turn PC Screen Fonts into C tables for kernel/dev/font.c.

usage: fontgen.py OUTPUT FONT.psf[.gz]...

Formats: PSF1 (magic 36 04; mode bit 0: 512 glyphs, bit 1: Unicode table of 16-bit values, ffff ends a glyph, fffe starts a sequence) and
PSF2 (magic 72 b5 4a 86; header of eight 32-bit words; Unicode table in UTF-8, ff ends a glyph, fe starts a sequence).
Sequences (combining) are left out.
"""
import gzip
import struct
import sys


def read(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        sys.exit(f"fontgen: {path} is missing: install the package console-setup-linux (Debian)")
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def parse_psf1(data):
    mode, height = data[2], data[3]
    count = 512 if mode & 1 else 256
    glyphs = [data[4 + i * height:4 + (i + 1) * height] for i in range(count)]
    unicode_map, at, glyph, sequence = {}, 4 + count * height, 0, False
    while glyph < count and at + 2 <= len(data):
        value = struct.unpack_from("<H", data, at)[0]
        at += 2
        if value == 0xffff:
            glyph, sequence = glyph + 1, False
        elif value == 0xfffe:
            sequence = True
        elif not sequence:
            unicode_map.setdefault(value, glyph)
    return 8, height, glyphs, unicode_map


def parse_psf2(data):
    _, _, header, _, count, size, height, width = struct.unpack_from("<8I", data)
    glyphs = [data[header + i * size:header + (i + 1) * size] for i in range(count)]
    unicode_map = {}
    for glyph, entry in enumerate(data[header + count * size:].split(b"\xff")[:count]):
        for char in entry.split(b"\xfe")[0].decode("utf-8"):
            unicode_map.setdefault(ord(char), glyph)
    return width, height, glyphs, unicode_map


def emit(out, name, font):
    width, height, glyphs, unicode_map = font
    row_bytes = (width + 7) // 8
    out.append(f"static const uint8_t {name}_glyphs[] = {{")
    for glyph in glyphs:
        assert len(glyph) == row_bytes * height
        out.append("    " + "".join(f"{byte}," for byte in glyph))
    out.append("};")
    out.append(f"static const struct font_map {name}_map[] = {{")
    # Runs of consecutive characters with consecutive glyphs.
    runs = []
    for char in sorted(unicode_map):
        glyph = unicode_map[char]
        if runs and runs[-1][0] + runs[-1][2] == char and runs[-1][1] + runs[-1][2] == glyph:
            runs[-1][2] += 1
        else:
            runs.append([char, glyph, 1])
    out += [f"    {{{char}, {glyph}, {count}}}," for char, glyph, count in runs if char < 0x10000]
    out.append("};")
    return f"    {{{width}, {height}, {row_bytes}, {len(glyphs)}, {name}_glyphs, {name}_map, sizeof({name}_map) / sizeof({name}_map[0])}},"


def main():
    out, fonts = ["/* Made by fontgen.py. */"], []
    for index, path in enumerate(sys.argv[2:]):
        data = read(path)
        font = parse_psf1(data) if data[:2] == b"\x36\x04" else parse_psf2(data)
        fonts.append(emit(out, f"font{index}", font))
    out += ["static const struct font fonts[] = {"] + fonts + ["};", ""]
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("\n".join(out))


if __name__ == "__main__":
    main()
