#!/usr/bin/env python3
"""Draws dantetimesync.ico: a clock's face whose hand is a wave. Needs nothing but Python."""
import math
import os
import struct
import zlib

BACK, FACE, RING, HAND = (0x14, 0x2B, 0x3A), (0xF4, 0xF7, 0xF8), (0x2F, 0xA3, 0x8F), (0xD9, 0x53, 0x2C)
FINE = 4  # sub-pixels each way


def colour(x, y):
    """The colour at a place from -1 to 1, or None outside."""
    radius = math.hypot(x, y)
    if radius > 0.98:
        return None
    if radius > 0.84:
        return RING
    if radius > 0.78:
        return BACK
    for quarter in range(4):
        angle = quarter * math.pi / 2
        along, across = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
        if 0.58 < along < 0.74 and abs(across) < 0.05:
            return BACK
    if abs(x) < 0.5 and abs(y - 0.22 * math.sin(x * 2 * math.pi)) < 0.085:
        return HAND
    return FACE


def picture(size):
    """Rows of RGBA."""
    rows = []
    for row in range(size):
        line = bytearray()
        for column in range(size):
            total, seen = [0, 0, 0], 0
            for part in range(FINE * FINE):
                x = (column + (part % FINE + 0.5) / FINE) / size * 2 - 1
                y = (row + (part // FINE + 0.5) / FINE) / size * 2 - 1
                here = colour(x, y)
                if here:
                    seen += 1
                    total = [a + b for a, b in zip(total, here)]
            mean = [value // seen for value in total] if seen else [0, 0, 0]
            line += bytes(mean + [seen * 255 // (FINE * FINE)])
        rows.append(bytes(line))
    return rows


def png(size):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in picture(size)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bitmap(size):
    """What programs read that know no PNG in icons: the installer's is one."""
    rows = [b"".join(row[i + 2:i + 3] + row[i + 1:i + 2] + row[i:i + 1] + row[i + 3:i + 4]
                     for i in range(0, len(row), 4)) for row in reversed(picture(size))]
    mask = b"\0" * ((size + 31) // 32 * 4 * size)
    return struct.pack("<IiiHHIIiiII", 40, size, 2 * size, 1, 32, 0, 0, 0, 0, 0, 0) + b"".join(rows) + mask


def main():
    images = [(16, bitmap(16)), (32, bitmap(32)), (48, bitmap(48)), (256, png(256))]
    file, offset = struct.pack("<HHH", 0, 1, len(images)), 6 + 16 * len(images)
    for size, data in images:
        file += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(data), offset)
        offset += len(data)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "dantetimesync.ico"), "wb") as out:
        out.write(file + b"".join(data for _, data in images))


main()
