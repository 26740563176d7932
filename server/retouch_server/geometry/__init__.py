"""Rectangles on the pixel grid: integers only, no pixels."""

from retouch_server.geometry.rect import Rect, Span, ceil_div

__all__ = ["Rect", "Span", "ceil_div"]
