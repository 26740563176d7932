"""Checks that finished tiles partition the result in the promised order, in O(1) memory."""

from retouch.errors import ProtocolError
from retouch.geometry import Rect, Size


class Coverage:
    """What of a result has come. Tiles come row by row: full-width, or left to right in rows of equal height (which a server
    needs where a single row of pixels is larger than a message).

    >>> seen = Coverage(Size(4, 6))
    >>> seen.add(Rect(0, 0, 3, 6)); seen.add(Rect(3, 0, 1, 2)); seen.add(Rect(3, 2, 1, 4)); seen.finish()
    """

    def __init__(self, size: Size) -> None:
        self._size = size
        self._y = 0  # first row of the current row of tiles
        self._x = 0  # first column that is missing in it
        self._height = 0  # its height; 0 where no tile of it has come

    def add(self, rect: Rect) -> None:
        """Takes note of a tile. Raises ProtocolError for one that is empty, outside, out of order or overlaps another."""
        if rect.height < 1 or rect.width < 1 or rect.right > self._size.width or rect.bottom > self._size.height:
            raise ProtocolError(f"the server sent a tile at {rect}, outside the result of {self._size}")
        if (rect.y, rect.x) != (self._y, self._x) or (self._height and rect.height != self._height):
            wanted = f" with {self._height} rows" if self._height else ""
            raise ProtocolError(
                f"the server sent a tile at {rect}; the next must start at row {self._y}, column {self._x}{wanted}"
            )
        self._x, self._height = rect.right, rect.height
        if self._x == self._size.width:
            self._y, self._x, self._height = rect.bottom, 0, 0

    def finish(self) -> None:
        """Raises ProtocolError when something is missing."""
        if self._y < self._size.height:
            raise ProtocolError(f"the server sent rows [0, {self._y}) of a result of {self._size} and said that it is done")
