"""Quality against time, a picture that one would rather look at than the table."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from retouch.errors import InvalidInputError
from retouch.profiling.run import Score


def draw(scores: Sequence[Score], path: Path) -> None:
    """Writes a plot to `path` (.png or .svg): a panel for each task and measure, a point for each candidate.

    Errors: InvalidInputError when matplotlib is not installed.
    """
    try:
        figure_class: Any = import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise InvalidInputError("the plot needs matplotlib: pip install 'retouch[profile]'") from error
    overall = [score for score in scores if score.label == "all"]
    tasks = sorted({(score.candidate.kind, score.candidate.scale) for score in overall})
    has_lpips = any(score.lpips is not None for score in overall)
    columns = 3 if has_lpips else 2
    figure = figure_class(figsize=(4.2 * columns, 3.4 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), columns, squeeze=False)
    for row, (kind, scale) in zip(grid, tasks, strict=True):
        group = [score for score in overall if (score.candidate.kind, score.candidate.scale) == (kind, scale)]
        title = kind if kind == "inpaint" else f"{kind} ×{scale}"
        for panel, measure, unit in zip(
            row, ("psnr_db", "ssim", "lpips"), ("PSNR, dB", "SSIM", "LPIPS, less is better"), strict=False
        ):
            _panel(panel, group, measure, f"{title}: {unit}")
    figure.savefig(path, dpi=120)


def _panel(panel: Any, group: Sequence[Score], measure: str, title: str) -> None:
    for score in group:
        value = getattr(score, measure)
        if value is None:
            continue
        panel.scatter(max(score.seconds_per_mp, 1e-3), value)
        panel.annotate(
            score.candidate.name, (max(score.seconds_per_mp, 1e-3), value), xytext=(4, 4), textcoords="offset points"
        )
    panel.set_xscale("log")
    panel.set_xlabel("seconds per megapixel")
    panel.set_title(title)
    panel.margins(0.25)
    panel.grid(alpha=0.3)
