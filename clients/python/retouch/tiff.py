"""The head of an uncompressed TIFF, after which raw rows can be written as they come and be read again without mapping them."""

import struct

from retouch.geometry import Size

STRIP_BYTES = 1 << 20
SHORT, LONG, LONG8 = 3, 4, 16  # field types
UNASSOCIATED_ALPHA = 2


def tiff_head(size: Size, channels: int) -> bytes:
    """Everything before the pixels of a BigTIFF (https://www.awaresystems.be/imaging/tiff/bigtiff.html): 8-bit, interleaved,
    gray or RGB, with alpha when `channels` is even. The pixels follow as height * width * channels raw bytes.

    >>> len(tiff_head(Size(100, 100), 3)) % 8
    0
    """
    row_bytes = size.width * channels
    strip_rows = max(1, STRIP_BYTES // row_bytes)
    starts = range(0, size.height, strip_rows)
    counts = [min(strip_rows, size.height - y) * row_bytes for y in starts]
    has_alpha = channels in (2, 4)
    fields = 11 if has_alpha else 10
    arrays_at = 16 + 8 + 20 * fields + 8
    pixels_at = arrays_at + (16 * len(starts) if len(starts) > 1 else 0)
    offsets = [pixels_at + y * row_bytes for y in starts]
    entries = [
        _entry(256, LONG, 1, struct.pack("<I", size.width)),
        _entry(257, LONG, 1, struct.pack("<I", size.height)),
        _entry(258, SHORT, channels, struct.pack(f"<{channels}H", *[8] * channels)),
        _entry(259, SHORT, 1, struct.pack("<H", 1)),  # no compression
        _entry(262, SHORT, 1, struct.pack("<H", 2 if channels > 2 else 1)),  # RGB, or 0 is black
        _entry(273, LONG8, len(starts), _array(offsets, arrays_at)),
        _entry(277, SHORT, 1, struct.pack("<H", channels)),
        _entry(278, LONG, 1, struct.pack("<I", strip_rows)),
        _entry(279, LONG8, len(starts), _array(counts, arrays_at + 8 * len(starts))),
        _entry(284, SHORT, 1, struct.pack("<H", 1)),  # interleaved
    ]
    if has_alpha:
        entries.append(_entry(338, SHORT, 1, struct.pack("<H", UNASSOCIATED_ALPHA)))
    head = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, fields) + b"".join(entries) + struct.pack("<Q", 0)
    if len(starts) > 1:
        head += struct.pack(f"<{2 * len(starts)}Q", *offsets, *counts)
    return head


def _entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHQ8s", tag, kind, count, value)


def _array(values: list[int], at: int) -> bytes:
    """The only value itself, or where the values stand."""
    return struct.pack("<Q", values[0] if len(values) == 1 else at)
