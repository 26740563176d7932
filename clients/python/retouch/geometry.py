"""Sizes and rectangles in pixels; y before x, height before width."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Rows and columns of an image, in pixels.

    >>> str(Size(1000, 1500).scaled(2))
    '2000x3000 px (height x width)'
    """

    height: int
    width: int

    def scaled(self, scale: int) -> "Size":
        """The size of an output that is `scale` times as large."""
        return Size(self.height * scale, self.width * scale)

    def __str__(self) -> str:
        return f"{self.height}x{self.width} px (height x width)"


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle: rows [y, y + height), columns [x, x + width)."""

    y: int
    x: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The first row below."""
        return self.y + self.height

    @property
    def right(self) -> int:
        """The first column to the right."""
        return self.x + self.width

    @property
    def area_px(self) -> int:
        """Pixels in it."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"rows [{self.y}, {self.bottom}) columns [{self.x}, {self.right})"
