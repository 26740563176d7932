"""Half-open spans and rectangles, y before x.

       x        right
     y ┌──────────┐
       │  height  │   rows [y, bottom), columns [x, right)
       │  × width │
bottom └──────────┘
"""

from dataclasses import dataclass


def ceil_div(a: int, b: int) -> int:
    """The smallest integer not below a / b, for b > 0.

    >>> ceil_div(7, 3), ceil_div(6, 3)
    (3, 2)
    """
    return -(-a // b)


@dataclass(frozen=True, slots=True)
class Span:
    """The integers [start, stop)."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def grow(self, margin: int) -> "Span":
        """Wider by `margin` on both sides."""
        return Span(self.start - margin, self.stop + margin)

    def clip(self, other: "Span") -> "Span":
        """What lies in `other` too; empty spans have length 0."""
        start = max(self.start, other.start)
        return Span(start, max(start, min(self.stop, other.stop)))

    def scaled(self, scale: int) -> "Span":
        """The same span on a grid `scale` times as fine."""
        return Span(self.start * scale, self.stop * scale)

    def shifted(self, offset: int) -> "Span":
        """Moved by `offset`."""
        return Span(self.start + offset, self.stop + offset)

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Rect:
    """Rows [y, y + height) and columns [x, x + width)."""

    y: int
    x: int
    height: int
    width: int

    @classmethod
    def from_spans(cls, rows: Span, columns: Span) -> "Rect":
        return cls(rows.start, columns.start, rows.length, columns.length)

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def rows(self) -> Span:
        return Span(self.y, self.bottom)

    @property
    def columns(self) -> Span:
        return Span(self.x, self.right)

    @property
    def area(self) -> int:
        return self.height * self.width

    def contains(self, other: "Rect") -> bool:
        return self.y <= other.y and self.x <= other.x and other.bottom <= self.bottom and other.right <= self.right

    def intersects(self, other: "Rect") -> bool:
        return self.y < other.bottom and other.y < self.bottom and self.x < other.right and other.x < self.right
