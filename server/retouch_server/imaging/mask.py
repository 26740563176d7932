"""A mask of any size in little memory: square blocks, each one value or zlib-compressed bytes."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.png import parse_gray_header, read_gray_bands, write_gray

BLOCK_PX = 128
_CACHED_BLOCKS = 256  # 256 x 16 KiB = 4 MiB of inflated blocks for each mask


@dataclass(frozen=True, slots=True)
class Blocks:
    """The pixels of a mask, cut into squares of BLOCK_PX; squares over the right and lower edge repeat the edge pixel.

    `values` (rows, columns) uint8 holds the value of each uniform block and 0 for the others; `packed` holds, by
    (row, column), the zlib-compressed BLOCK_PX² bytes of the blocks that are not uniform: each has a non-zero pixel
    inside the mask.
    """

    values: NDArray[np.uint8]
    packed: Mapping[tuple[int, int], bytes]


class Mask:
    """An 8-bit mask: 255 edits a pixel, 0 keeps it, between is a soft edge. Immutable; safe to share between threads.

    Coordinates are pixels of the mask, y before x. Rectangles must lie inside the mask and hold at least one pixel:
    anything else is a ValueError. Two masks are equal when size and digest are.
    """

    __slots__ = ("_blocks", "_inflate", "_occupied", "_table", "digest", "height", "width")

    def __init__(self, height: int, width: int, digest: str, blocks: Blocks) -> None:
        """Prefer `from_png`, `from_array`, `full` or `MaskBuilder`: nothing here checks that the parts agree."""
        self.height, self.width = height, width
        self.digest = digest  # lower-case hex sha256 of the raw row-major bytes
        self._blocks = blocks
        occupied = blocks.values > 0
        for key in blocks.packed:
            occupied[key] = True
        self._occupied = occupied
        self._table = np.zeros((occupied.shape[0] + 1, occupied.shape[1] + 1), np.int32)
        self._table[1:, 1:] = occupied.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
        self._inflate: Callable[[tuple[int, int]], NDArray[np.uint8]] = lru_cache(_CACHED_BLOCKS)(
            partial(_inflate, blocks.packed)
        )

    @classmethod
    def from_png(cls, png: bytes, field: str = "mask") -> Self:
        """Decode an 8-bit gray PNG band by band. Blocks the caller for a second or so per 200 megapixels.

        Errors: BadField naming `field`: not such a PNG, interlaced, over the limits of an image, damaged or cut short.
        """
        header = parse_gray_header(png, field)
        builder = MaskBuilder(header.height, header.width)
        for band in read_gray_bands(png, header, BLOCK_PX, field):
            builder.add_rows(band)
        return cls(*builder.parts())

    @classmethod
    def from_array(cls, pixels: NDArray[np.uint8]) -> Self:
        """Take the pixels of a (height, width) uint8 array; the array is not kept."""
        builder = MaskBuilder(*pixels.shape)
        builder.add_rows(pixels)
        return cls(*builder.parts())

    @classmethod
    def full(cls, height: int, width: int, value: int = 255) -> Self:
        """A mask of one value. Costs the digest of height · width bytes (a second or less per gigapixel), no memory."""
        blocks = Blocks(np.full((_blocks_over(height), _blocks_over(width)), value, np.uint8), {})
        digest, row = hashlib.sha256(), bytes([value]) * width
        band = row * BLOCK_PX
        for _ in range(height // BLOCK_PX):
            digest.update(band)
        digest.update(row * (height % BLOCK_PX))
        return cls(height, width, digest.hexdigest(), blocks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return (self.height, self.width, self.digest) == (other.height, other.width, other.digest)

    def __hash__(self) -> int:
        return hash((self.height, self.width, self.digest))

    def __repr__(self) -> str:
        return f"Mask({self.height}x{self.width}, {self.digest[:12]})"

    @property
    def nbytes(self) -> int:
        """Bytes held, without the blocks inflated lately."""
        return self._blocks.values.nbytes + self._table.nbytes + sum(map(len, self._blocks.packed.values()))

    def window(self, y: int, x: int, height: int, width: int) -> NDArray[np.uint8]:
        """The pixels of a rectangle as a new (height, width) uint8 array."""
        self._check(y, x, height, width)
        out = np.empty((height, width), np.uint8)
        for row in range(y // BLOCK_PX, _blocks_over(y + height)):
            for column in range(x // BLOCK_PX, _blocks_over(x + width)):
                inner, outer = _overlap(row, column, y, x, height, width)
                if (row, column) in self._blocks.packed:
                    out[outer] = self._inflate((row, column))[inner]
                else:
                    out[outer] = self._blocks.values[row, column]
        return out

    def any(self, y: int, x: int, height: int, width: int) -> bool:
        """Whether any pixel of the rectangle is not 0; exact. Mostly two look-ups in a summed-area table of blocks."""
        self._check(y, x, height, width)
        top, left, bottom, right = y // BLOCK_PX, x // BLOCK_PX, _blocks_over(y + height), _blocks_over(x + width)
        if not self._count(top, left, bottom, right):
            return False
        whole_bottom = bottom if y + height == self.height else (y + height) // BLOCK_PX
        whole_right = right if x + width == self.width else (x + width) // BLOCK_PX
        if self._count(_blocks_over(y), _blocks_over(x), whole_bottom, whole_right):
            return True
        for row, column in np.argwhere(self._occupied[top:bottom, left:right]).tolist():
            key = (row + top, column + left)
            if key not in self._blocks.packed:
                return True
            inner, _ = _overlap(*key, y, x, height, width)
            if self._inflate(key)[inner].any():
                return True
        return False

    def occupancy(self, cell_px: int) -> NDArray[np.bool_]:
        """Which cells of cell_px² hold a pixel that is not 0; exact. (⌈height / cell_px⌉, ⌈width / cell_px⌉) bool."""
        return self._sums(cell_px, of_occupied=True) > 0

    def coverage(self, cell_px: int) -> NDArray[np.float32]:
        """The mean of each cell of cell_px² over 255: 0 to 1, the shape of `occupancy`; cells at the edges are cut."""
        sums = self._sums(cell_px, of_occupied=False)
        areas = np.outer(_sides(self.height, cell_px), _sides(self.width, cell_px))
        return (sums / (areas * 255)).astype(np.float32)

    def to_png(self) -> bytes:
        """The mask as an 8-bit gray PNG; `from_png` gives it back."""
        return write_gray(self.height, self.width, self._bands())

    def _bands(self) -> Iterator[NDArray[np.uint8]]:
        for y in range(0, self.height, BLOCK_PX):
            yield self.window(y, 0, min(BLOCK_PX, self.height - y), self.width)

    def _sums(self, cell_px: int, *, of_occupied: bool) -> NDArray[np.float64]:
        """Sum over each cell of its pixels (or of its non-zero pixels); exact, since float64 counts to 2^53."""
        if cell_px < 1:
            raise ValueError(f"cell_px must be at least 1, is {cell_px}")
        values = self._blocks.values
        uniform = (values > 0 if of_occupied else values).astype(np.float64)
        out = _shares(self.height, cell_px) @ uniform @ _shares(self.width, cell_px).T
        for (row, column), packed in self._blocks.packed.items():
            y, x = row * BLOCK_PX, column * BLOCK_PX
            block = _unpack(packed)[: self.height - y, : self.width - x]
            ys, xs = _cell_starts(y, block.shape[0], cell_px), _cell_starts(x, block.shape[1], cell_px)
            pixels = block > 0 if of_occupied else block
            sums = np.add.reduceat(np.add.reduceat(pixels, xs, axis=1, dtype=np.uint32), ys, axis=0)
            out[y // cell_px : y // cell_px + len(ys), x // cell_px : x // cell_px + len(xs)] += sums
        return out

    def _count(self, top: int, left: int, bottom: int, right: int) -> int:
        """How many blocks of a rectangle of blocks hold a non-zero pixel; an empty or inverted one has none."""
        if top >= bottom or left >= right:
            return 0
        table = self._table
        return int(table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left])

    def _check(self, y: int, x: int, height: int, width: int) -> None:
        if min(y, x) < 0 or min(height, width) < 1 or y + height > self.height or x + width > self.width:
            raise ValueError(f"{height}x{width} px at ({y}, {x}) are not inside a mask of {self.height}x{self.width} px")


class MaskBuilder:
    """Makes a mask out of rows that come from top to bottom; holds one band of BLOCK_PX rows beside the mask."""

    def __init__(self, height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise ValueError(f"a mask has at least one pixel; {height}x{width} has none")
        self._height, self._width, self._rows = height, width, 0
        self._values = np.zeros((_blocks_over(height), _blocks_over(width)), np.uint8)
        self._packed: dict[tuple[int, int], bytes] = {}
        self._digest = hashlib.sha256()
        self._band = np.empty((BLOCK_PX, self._values.shape[1] * BLOCK_PX), np.uint8)

    def add_rows(self, rows: NDArray[np.uint8]) -> None:
        """Append (n, width) uint8 rows. Errors: ValueError for another type or width, or more rows than the height."""
        if rows.ndim != 2 or rows.dtype != np.uint8 or rows.shape[1] != self._width:
            raise ValueError(f"rows must be (n, {self._width}) uint8, are {rows.shape} {rows.dtype}")
        if self._rows + len(rows) > self._height:
            raise ValueError(f"{self._rows + len(rows)} rows for a mask of {self._height}")
        self._digest.update(np.ascontiguousarray(rows).data)
        while len(rows):
            filled = self._rows % BLOCK_PX
            taken, rows = rows[: BLOCK_PX - filled], rows[BLOCK_PX - filled :]
            self._band[filled : filled + len(taken), : self._width] = taken
            self._rows += len(taken)
            if self._rows % BLOCK_PX == 0 or self._rows == self._height:
                self._close_band()

    def finish(self) -> Mask:
        """The mask. Errors: ValueError while rows are missing."""
        return Mask(*self.parts())

    def parts(self) -> tuple[int, int, str, Blocks]:
        """What `Mask` is made of: height, width, digest, blocks. Errors: ValueError while rows are missing."""
        if self._rows != self._height:
            raise ValueError(f"{self._rows} of {self._height} rows were added")
        return self._height, self._width, self._digest.hexdigest(), Blocks(self._values, self._packed)

    def _close_band(self) -> None:
        band, row = self._band, (self._rows - 1) // BLOCK_PX
        band[:, self._width :] = band[:, self._width - 1 : self._width]
        filled = self._rows - row * BLOCK_PX
        band[filled:] = band[filled - 1]
        words = band.view(np.uint64).reshape(BLOCK_PX, -1, BLOCK_PX // 8)  # eight pixels at a time
        first = band[0, ::BLOCK_PX]
        is_uniform = (words == (first * np.uint64(0x0101010101010101))[:, None]).all(axis=(0, 2))
        self._values[row] = np.where(is_uniform, first, 0)
        for column in np.flatnonzero(~is_uniform).tolist():
            block = band[:, column * BLOCK_PX : (column + 1) * BLOCK_PX]
            self._packed[row, column] = zlib.compress(block.tobytes(), 1)


def _unpack(packed: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(BLOCK_PX, BLOCK_PX)


def _inflate(packed: Mapping[tuple[int, int], bytes], key: tuple[int, int]) -> NDArray[np.uint8]:
    return _unpack(packed[key])


def _blocks_over(length_px: int) -> int:
    return -(-length_px // BLOCK_PX)


def _overlap(row: int, column: int, y: int, x: int, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a block and a rectangle meet: as slices of the block, and as slices of the rectangle."""
    block_y, block_x = row * BLOCK_PX, column * BLOCK_PX
    y0, y1 = max(y, block_y), min(y + height, block_y + BLOCK_PX)
    x0, x1 = max(x, block_x), min(x + width, block_x + BLOCK_PX)
    inner = (slice(y0 - block_y, y1 - block_y), slice(x0 - block_x, x1 - block_x))
    return inner, (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


def _sides(length_px: int, cell_px: int) -> NDArray[np.float64]:
    """Length of each cell along one axis: cell_px, the last perhaps less."""
    starts = np.arange(0, length_px, cell_px)
    return np.minimum(cell_px, length_px - starts).astype(np.float64)


def _shares(length_px: int, cell_px: int) -> NDArray[np.float64]:
    """(cells, blocks): how many pixels of each block lie in each cell, along one axis."""
    cell = np.arange(0, length_px, cell_px)[:, None]
    block = np.arange(0, length_px, BLOCK_PX)[None, :]
    ends = np.minimum(np.minimum(cell + cell_px, block + BLOCK_PX), length_px)
    return np.maximum(ends - np.maximum(cell, block), 0).astype(np.float64)


def _cell_starts(start_px: int, length_px: int, cell_px: int) -> list[int]:
    """Where cells begin inside [start, start + length), relative to start; the first is 0."""
    first = (start_px // cell_px + 1) * cell_px
    return [0, *range(first - start_px, length_px, cell_px)]
