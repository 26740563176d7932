"""A dashboard as a picture: its panels where their gridPos says, from collected data. Not Grafana, but the same facts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.dates as dates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from benchmarks.dashboards.units import written

COLUMN_PX, ROW_PX, GAP_PX, HEADER_PX = 60, 30, 8, 44
PAPER, PANEL, EDGE, TEXT, FAINT, GRID = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e9a", "#25282d"
COLOURS = (
    *("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9"),
    *("#8ab8ff", "#ffa6b0", "#96d98d", "#fade2a", "#c4162a", "#705da0"),
)
LIMITS = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
CHARACTER_PX = 5.6

Series = list[Any]
"""[legend, [(seconds, value), …]]"""


def draw(dashboard: dict[str, Any], data: dict[str, list[Series]], path: Path) -> None:
    """Writes a picture of a dashboard; its format is that of the path's suffix."""
    panels = dashboard["panels"]
    width = 24 * COLUMN_PX + GAP_PX
    height = HEADER_PX + max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW_PX + GAP_PX
    sheet = _Sheet(Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER), width, height)
    sheet.text(GAP_PX + 4, HEADER_PX / 2 + 6, dashboard["title"], size=13, weight="bold")
    sheet.text(width - GAP_PX - 4, HEADER_PX / 2 + 6, dashboard["description"], colour=FAINT, align="right")
    for panel in panels:
        _draw_panel(sheet, panel, data.get(str(panel["id"]), []))
    sheet.figure.savefig(path, dpi=100, facecolor=PAPER, pil_kwargs={"lossless": True} if path.suffix == ".webp" else {})


class _Sheet:
    """A figure that is addressed in pixels from its upper left corner."""

    def __init__(self, figure: Figure, width: int, height: int) -> None:
        self.figure, self.width, self.height = figure, width, height

    def text(
        self, x: float, y: float, words: str, *, size: float = 8, colour: str = TEXT, align: str = "left", **style: Any
    ) -> None:
        place = (x / self.width, 1 - y / self.height)
        self.figure.text(*place, words, size=size, color=colour, ha=align, va="center", **style)

    def box(self, x: float, y: float, width: float, height: float) -> None:
        corner = (x / self.width, 1 - (y + height) / self.height)
        size = (width / self.width, height / self.height)
        style = {"boxstyle": "square,pad=0", "facecolor": PANEL, "edgecolor": EDGE, "linewidth": 0.8}
        self.figure.add_artist(FancyBboxPatch(corner, *size, transform=self.figure.transFigure, zorder=-1, **style))

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        rect = (left / self.width, 1 - bottom / self.height, (right - left) / self.width, (bottom - top) / self.height)
        axes = self.figure.add_axes(rect, facecolor=PANEL)
        axes.tick_params(colors=FAINT, labelsize=7, length=0, pad=3)
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes


def _draw_panel(sheet: _Sheet, panel: dict[str, Any], series: list[Series]) -> None:
    at = panel["gridPos"]
    x, y = at["x"] * COLUMN_PX + GAP_PX, HEADER_PX + at["y"] * ROW_PX
    width, height = at["w"] * COLUMN_PX - GAP_PX, at["h"] * ROW_PX - GAP_PX
    if panel["type"] == "row":
        sheet.text(x + 4, y + height / 2 + 2, f"▾ {panel['title']}", size=10, weight="bold")
        return
    sheet.box(x, y, width, height)
    sheet.text(x + 10, y + 15, panel["title"], size=8.5)
    if not series:
        sheet.text(x + width / 2, y + height / 2, "No data", colour=FAINT, align="center", size=10)
        return
    draw_kind = {"timeseries": _lines, "stat": _number, "bargauge": _bars, "heatmap": _warmth}[panel["type"]]
    draw_kind(sheet, panel, series, (x, y, x + width, y + height))


_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def _unit(panel: dict[str, Any]) -> Callable[[float], str]:
    defaults = panel["fieldConfig"]["defaults"]
    return lambda value: written(value, defaults.get("unit", "short"), defaults.get("decimals"))


def _lines(sheet: _Sheet, panel: dict[str, Any], series: list[Series], box: _Box) -> None:
    left, top, right, bottom = box
    write, options = _unit(panel), panel["fieldConfig"]["defaults"]
    shown = _legend(sheet, [str(legend) for legend, _ in series], box)
    axes = sheet.axes(left + 58, top + 32, right - 14, bottom - 24 - 15 * shown)
    is_stacked = options["custom"].get("stacking", {}).get("mode") == "normal"
    moments = sorted({moment for _, points in series for moment, _ in points})
    below = np.zeros(len(moments))
    for number, (_, points) in enumerate(series):
        known = dict(map(tuple, points))
        values = np.array([known.get(moment, np.nan) for moment in moments])
        colour, times = COLOURS[number % len(COLOURS)], [dates.date2num(np.datetime64(int(m * 1e3), "ms")) for m in moments]
        bottom_line = below.copy() if is_stacked else np.zeros(len(moments))
        if is_stacked:
            below = below + np.nan_to_num(values)
            values = below
        axes.plot(times, values, color=colour, linewidth=1.1, solid_joinstyle="round")
        axes.fill_between(
            times, bottom_line, values, color=colour, alpha=0.45 if is_stacked else 0.2 / (2 + len(series)), linewidth=0
        )
    highest = options["max"] if "max" in options else max(axes.get_ylim()[1], 1e-9)
    if not any(value > 0 for _, points in series for _, value in points):
        highest = 1.0
    axes.set_ylim(0, highest * 1.03)
    is_binary = options.get("unit") == "bytes"
    step = 2.0 ** np.ceil(np.log2(highest / 4))
    axes.yaxis.set_major_locator(MultipleLocator(step) if is_binary else MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    _time_axis(axes)


def _time_axis(axes: Axes) -> None:
    axes.xaxis_date()
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=7))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.margins(x=0)


def _legend(sheet: _Sheet, legends: list[str], box: _Box) -> int:
    """Writes the legend at the bottom, in two lines at most; returns how many it took."""
    left, _, right, bottom = box
    lines: list[list[tuple[float, str, str]]] = [[]]
    x = left + 12
    for number, legend in enumerate(legends):
        width = 26 + sum(CHARACTER_PX * (1.3 if c.isupper() else 1) for c in legend)
        if x + width > right - 8:
            if len(lines) == 2:
                lines[1].append((x, f"+{len(legends) - number}", FAINT))
                break
            lines.append([])
            x = left + 12
        lines[-1].append((x, legend, COLOURS[number % len(COLOURS)]))
        x += width
    for row, entries in enumerate(lines):
        y = bottom - 11 - 15 * (len(lines) - 1 - row)
        for x, legend, colour in entries:
            if colour != FAINT:
                sheet.text(x, y, "▬", colour=colour, size=6)
            sheet.text(x + 13, y, legend, size=7)
    return len(lines)


def _number(sheet: _Sheet, panel: dict[str, Any], series: list[Series], box: _Box) -> None:
    left, top, right, bottom = box
    value = series[0][1][-1][1]
    colour = TEXT
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = LIMITS[step["color"]]
    sheet.text((left + right) / 2, (top + bottom) / 2 + 10, _unit(panel)(value), size=22, colour=colour, align="center")


def _bars(sheet: _Sheet, panel: dict[str, Any], series: list[Series], box: _Box) -> None:
    left, top, right, bottom = box
    axes = sheet.axes(left + 100, top + 36, right - 70, bottom - 14)
    values = [points[-1][1] for _, points in series]
    places = np.arange(len(series))[::-1]
    highest = max([*values, 1e-9])
    axes.barh(places, [highest] * len(series), color="#22252b", height=0.6)
    axes.barh(places, values, color=LIMITS["blue"], height=0.6)
    axes.set_yticks(places, [str(legend) for legend, _ in series])
    axes.tick_params(axis="y", colors=TEXT, labelsize=8)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.set_xlim(0, highest)
    for place, value in zip(places, values, strict=True):
        axes.text(highest * 1.03, place, _unit(panel)(value), color=LIMITS["blue"], va="center", size=10)


def _warmth(sheet: _Sheet, panel: dict[str, Any], series: list[Series], box: _Box) -> None:
    """Buckets are cumulative: a cell is what a bucket has more than the one below it."""
    left, top, right, bottom = box
    unit = panel["options"]["yAxis"].get("unit", "short")
    ordered = sorted(series, key=lambda one: float(one[0]))
    moments = sorted({moment for _, points in ordered for moment, _ in points})
    cumulative = np.array([[dict(map(tuple, points)).get(moment, 0.0) for moment in moments] for _, points in ordered])
    cells = np.diff(np.nan_to_num(cumulative), axis=0, prepend=0).clip(0)
    filled = np.flatnonzero(cells.sum(axis=1) > 1e-9)
    if not len(filled):
        sheet.text((left + right) / 2, (top + bottom) / 2, "Nothing observed", colour=FAINT, align="center", size=10)
        return
    first, last = max(0, filled[0] - 1), min(len(cells), filled[-1] + 2)
    axes = sheet.axes(left + 58, top + 32, right - 14, bottom - 26)
    times = [dates.date2num(np.datetime64(int(m * 1e3), "ms")) for m in [*moments, 2 * moments[-1] - moments[-2]]]
    shown = np.ma.masked_less_equal(cells[first:last], 1e-9)
    axes.pcolormesh(times, np.arange(first, last + 1), shown, cmap="Oranges_r", shading="flat")
    edges = [one[0] for one in ordered]
    ticks = range(first + 1, last + 1, max(1, (last - first) // 6))
    axes.set_yticks(list(ticks), ["∞" if edges[n - 1] == "+Inf" else written(float(edges[n - 1]), unit) for n in ticks])
    _time_axis(axes)
