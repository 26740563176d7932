"""An edit of an image that nobody holds: rows are made as they are sent, and the result is thrown away."""

import numpy as np

from benchmarks.photograph import Pixels, enlarged
from retouch import EditCall, EditOptions, Retry, Size
from retouch.edit import EditJob
from retouch.pixels import PixelFormat, shrunk_by_bands
from retouch.transport import Rpc, open_channel

_PERIOD_ROWS = 512


class EndlessRows:
    """A PixelSource of any height, in the memory of a band: 512 rows of the photograph, again and again."""

    pixel_format: PixelFormat = "rgb8"
    is_blocking = False
    orientation = 1
    has_orientation_tag = False

    def __init__(self, height: int, width: int) -> None:
        self.size = self.stored_size = Size(height, width)
        self.warnings: list[str] = []
        self._band = enlarged(_PERIOD_ROWS, width)

    def read(self, y: int, height: int) -> Pixels:
        return self._band[np.arange(y, y + height) % _PERIOD_ROWS]

    def shrunk(self, factor: int) -> Pixels:
        return shrunk_by_bands(self, factor)

    def close(self) -> None:
        pass


class Nowhere:
    """A PixelSink that counts pixels; its result is their number."""

    is_blocking = False

    def __init__(self) -> None:
        self._received_px = 0

    def begin(self, size: Size) -> None:
        self._received_px = 0

    def write(self, rect: object, pixels: Pixels) -> None:
        self._received_px += pixels.shape[0] * pixels.shape[1]

    def finish(self) -> int:
        return self._received_px

    def discard(self) -> None:
        pass


async def edit_endless_rows(target: str, size: Size, mask: Pixels | None, options: EditOptions) -> int:
    """Edits `size` px at the service at `target` and returns how many pixels came back."""
    job = EditJob(lambda: EndlessRows(*size_of(size)), lambda source: Nowhere(), mask, options, None, with_proxy=True)
    async with open_channel(target, None) as channel:
        return await EditCall(Rpc(channel, ()), Retry(), job)


def size_of(size: Size) -> tuple[int, int]:
    return size.height, size.width
