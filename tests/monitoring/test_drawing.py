"""The renderer draws every panel of every dashboard from answers of the shape that Prometheus gives."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.dashboards.draw import COLUMN_PX, PAPER, draw
from benchmarks.dashboards.queries import dashboards

BOARDS = dashboards()


def answer(panel: dict[str, Any]) -> list[Any]:
    """Two series of a panel, with a gap in one."""
    if panel["type"] == "heatmap":
        return [[edge, [(60.0 * n, float(n * (1 + i))) for n in range(9)]] for i, edge in enumerate(("0.5", "1.0", "+Inf"))]
    if panel["type"] in ("stat", "bargauge"):
        return [["a", [(60.0, 0.5)]], ["b", [(60.0, 2.0)]]]
    return [["a", [(60.0 * n, float(n)) for n in range(9)]], ["b", [(60.0 * n, float("nan")) for n in range(9)]]]


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_picture_of_the_boards_size_with_something_in_it(name: str, tmp_path: Path) -> None:
    board = BOARDS[name]
    draw(board, {str(panel["id"]): answer(panel) for panel in board["panels"]}, tmp_path / "drawn.webp")
    draw(board, {}, tmp_path / "empty.webp")
    drawn, empty = (Image.open(tmp_path / f"{what}.webp").convert("RGB") for what in ("drawn", "empty"))
    assert drawn.width == empty.width >= 24 * COLUMN_PX
    assert drawn.getpixel((0, 0)) == tuple(bytes.fromhex(PAPER[1:]))
    assert len(drawn.getcolors(maxcolors=1 << 20) or []) > 2 * len(empty.getcolors(maxcolors=1 << 20) or [])
