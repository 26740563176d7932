"""The pictures of docs/capacity.md."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.capacity import scenarios
from benchmarks.capacity.fleet import CORES, Fleet
from benchmarks.capacity.load import STATIONS, Classes
from benchmarks.capacity.outcome import queue_times
from benchmarks.capacity.scenarios import EVENT_S, Result
from benchmarks.capacity.sweep import CHOSEN_QUEUE_S, Trial

RATE = 200.0
"""Edits a second in the pictures of a step and of a lost zone, and at most in that of the day."""
COLOURS = ("#4C72B0", "#55A868", "#DD8452")
LOAD, QUEUE, REFUSED, OTHER = "#444444", "#8172B3", "#C44E52", "#BBBBBB"
DPI = 90


def draw(
    folder: Path, mix: Classes, fleet: Fleet, best: Trial, trials: Sequence[Trial], rates: Sequence[float], hours: float
) -> None:
    """Writes day, step, zone and settings.webp."""
    mpl.use("Agg")
    waits_only = replace(best.settings, busy=inf, pending=8.0)
    days = scenarios.day(mix, fleet, [(RATE, best.settings)], hours=hours)
    _save(_course(mix, days, ["the chosen settings"], unit_s=3600.0), folder / "day.webp")
    names = ["chosen", "scaled on what waits alone"]
    steps = scenarios.step(mix, fleet, [(RATE, best.settings), (RATE, waits_only)])
    _save(_course(mix, steps, names), folder / "step.webp")
    names = ["pods tolerate 30 s", "pods tolerate 300 s"]
    zones = scenarios.zone(mix, [fleet, replace(fleet, tolerated_s=300.0)], [(RATE, best.settings)] * 2)
    _save(_course(mix, zones, names), folder / "zone.webp")
    _save(_frontier(trials, best, rates), folder / "settings.webp")


def _course(mix: Classes, result: Result, names: Sequence[str], unit_s: float = 60.0) -> Figure:
    """Above the load, then replicas by station, then queue time; the first case in colour, a second dashed. From shortly
    before the event on, where there is one."""
    figure, (load, pods, queue) = plt.subplots(3, 1, figsize=(9, 7.5), sharex=True, height_ratios=(1, 1.6, 1.4))
    course, is_day = result.course, unit_s == 3600.0
    first = 0 if is_day else round((EVENT_S - 120) / course.step_s)
    seconds = np.arange(first, len(course.arrived), dtype=np.float64) * course.step_s
    at = seconds / unit_s if is_day else (seconds - EVENT_S) / unit_s
    rate = result.cases[0].rate(seconds)
    load.plot(at, rate, color=LOAD)
    load.set_ylabel("edits/s")
    load.set_ylim(0)
    load.set_xlim(at[0], at[-1])
    for column, style in zip(range(len(result.cases)), ("-", (0, (3, 1.5))), strict=False):
        for station, colour in enumerate(COLOURS):
            label = STATIONS[station] if column == 0 else None
            pods.plot(at, course.replicas[first:, station, column], color=colour, linestyle=style, label=label, linewidth=1.2)
            if column == 0:
                least = np.maximum(1, np.ceil(rate * mix.mean_work_s[station] / CORES))
                pods.fill_between(at, least, color=colour, alpha=0.18, linewidth=0)
        _queue(queue, mix, result, column, style, (first, unit_s, 0.0 if is_day else EVENT_S))
    pods.set_ylabel("replicas\n(shaded: least possible)")
    pods.legend(loc="upper right", frameon=False)
    queue.set_ylabel("queue time, s\n(99th percentile, mean)")
    queue.set_yscale("symlog", linthresh=1.0)
    queue.set_ylim(0)
    queue.set_xlabel("hour" if is_day else "minutes after the event")
    load.set_title(names[0] if len(names) == 1 else f"solid: {names[0]}; dashed: {names[1]}", fontsize=10)
    return figure


def _queue(axes: Axes, mix: Classes, result: Result, column: int, style: object, when: tuple[int, float, float]) -> None:
    """Mean and 99th percentile over the classes of edits that come in the same half minute, or 5 minutes of a day."""
    (first, unit_s, zero_s), course = when, result.course
    width = round((300 if unit_s == 3600 else 30) / course.step_s)
    waits = queue_times(mix, course, column, every=max(1, width // 10))
    is_shown = waits.steps >= first
    at = (waits.steps[is_shown] * course.step_s - zero_s) / unit_s
    means_s = waits.means_s[is_shown]
    order = np.argsort(waits.seconds[is_shown], axis=1)
    mass = np.cumsum(np.take_along_axis(waits.weights[is_shown] + 1e-12, order, axis=1), axis=1)
    index = (mass < 0.99 * mass[:, -1:]).sum(axis=1)
    worst_s = np.take_along_axis(np.take_along_axis(waits.seconds[is_shown], order, axis=1), index[:, None], axis=1)[:, 0]
    axes.plot(at, worst_s, color=QUEUE, linestyle=style, linewidth=0.8, alpha=0.6)  # pyright: ignore[reportArgumentType]
    axes.plot(at, means_s, color=QUEUE, linestyle=style, linewidth=1.6)  # pyright: ignore[reportArgumentType]
    refused = np.add.reduceat(course.refused[:, column], waits.steps)[is_shown] > 0
    if refused.any():
        label = None if column else "some are refused"
        axes.scatter(at[refused], np.full(refused.sum(), 0.05), color=REFUSED, marker="|", s=40, label=label)
        axes.legend(loc="upper right", frameon=False)


def _frontier(trials: Sequence[Trial], best: Trial, rates: Sequence[float]) -> Figure:
    """Cost against queue time; the rule takes one near the left end below the line."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    targets = sorted({trial.settings.busy for trial in trials})
    shades = dict(zip(targets, ("#55A868", "#4C72B0", "#8172B3", "#DD8452", OTHER), strict=False))
    for busy in targets:
        chosen = [trial for trial in trials if trial.settings.busy == busy]
        label = "no trigger on busy instances" if busy == inf else f"{busy:g} of {CORES:g} instances busy"
        known: str | None = label
        for keeps, marker in ((True, "o"), (False, "x")):
            shown = [trial for trial in chosen if trial.keeps_limits == keeps]
            if shown:
                at = [trial.cost for trial in shown], [trial.queue_s for trial in shown]
                axes.scatter(*at, color=shades[busy], marker=marker, label=known, s=36, alpha=0.85)
                known = None
    axes.scatter([best.cost], [best.queue_s], facecolors="none", edgecolors="black", s=170, label="chosen")
    axes.axhline(CHOSEN_QUEUE_S, color=LOAD, linestyle=":", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("replica-hours of a day over the least possible (geometric mean of the rates)")
    axes.set_ylabel("queue time, s\n(99th percentile, worst rate)")
    axes.set_title(f"{len(trials)} settings, {min(rates):g} to {max(rates):,g} edits/s; crosses miss a limit", fontsize=10)
    axes.legend(frameon=False)
    return figure


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, pil_kwargs={"quality": 80})
    plt.close(figure)
