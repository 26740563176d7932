"""Where tiles lie and how neighbours share their overlap: pure data."""

from retouch_server.tiling.grid import AxisTile, Tile, TileGrid, TileRow
from retouch_server.tiling.ramps import ramps, shares

__all__ = ["AxisTile", "Tile", "TileGrid", "TileRow", "ramps", "shares"]
