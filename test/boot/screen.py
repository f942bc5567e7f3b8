"""Reads the text on a picture of the framebuffer console, by comparing its cells with the glyphs of the console's own font."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), 'kernel', 'dev'))
import fontgen  # noqa: E402

FONT = '/usr/share/consolefonts/Uni2-Terminus16.psf.gz'
UNKNOWN = '\ufffd'


def parse_ppm(data):
    """(width, height, rows of bytes, three a pixel) of a binary PPM picture."""
    fields = data.split(None, 4)
    width, height = int(fields[1]), int(fields[2])
    pixels = data[-width * height * 3:]
    return width, height, [pixels[y * width * 3:(y + 1) * width * 3] for y in range(height)]


class Reader:
    def __init__(self, font=FONT):
        parse = fontgen.parse_psf1 if fontgen.read(font)[:2] == b'\x36\x04' else fontgen.parse_psf2
        self.width, self.height, glyphs, unicode_map = parse(fontgen.read(font))
        self.chars = {}
        for char, glyph in unicode_map.items():
            if 0x20 <= char < 0x7f:
                self.chars[bytes(glyphs[glyph])] = chr(char)

    def _cell(self, rows, x, y):
        """A cell's bits as in the font: a row of 8 pixels a byte, 1 where the pixel is brighter than the darkest by half."""
        bits = bytearray()
        for row in rows[y:y + self.height]:
            pixels = [sum(row[at:at + 3]) for at in range(x * 3, (x + self.width) * 3, 3)]
            byte = 0
            for pixel in pixels:
                byte = byte << 1 | (pixel > 180)
            bits.append(byte)
        return bytes(bits)

    def _char(self, bits):
        inverted = bytes(byte ^ 0xff for byte in bits)  # under the cursor, or reverse
        return self.chars.get(bits) or self.chars.get(inverted) or UNKNOWN

    def lines(self, ppm):
        """The rows of text, without the blanks at their ends."""
        width, height, rows = parse_ppm(ppm)
        columns, lines = width // self.width, height // self.height
        left, top = (width - columns * self.width) // 2, (height - lines * self.height) // 2
        return [''.join(self._char(self._cell(rows, left + c * self.width, top + r * self.height)) for c in range(columns)).rstrip()
                for r in range(lines)]
