"""What came of the drill: a table by phase, the claims, and a picture of its course."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.drill.load import Edit
from benchmarks.report import Bound, Report, rounded

EXPECTED_ALERTS = frozenset({"RetouchTritonDown", "RetouchOrchestratorDown", "RetouchEditsLate"})
"""The last since all servers share one small machine, half of them is away for minutes, and the load stays as it is."""


LABEL_S = 6.0
"""Labels of the picture stand apart by that much of its time axis, at least."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What was done from `began_s` on, on the monotonic clock, until the next phase began."""

    name: str
    began_s: float


@dataclass(frozen=True, slots=True)
class Mark:
    """What happened at one moment."""

    what: str
    at_s: float


def by_phase(phases: Sequence[Phase], edits: Sequence[Edit]) -> Iterator[tuple[Phase, float, list[Edit]]]:
    """Each phase with its seconds and the edits that ended in it; the last phase only ends the one before it."""
    for phase, after in pairwise(phases):
        yield phase, after.began_s - phase.began_s, [e for e in edits if phase.began_s <= e.ended_s < after.began_s]


def table(phases: Sequence[Phase], edits: Sequence[Edit]) -> str:
    """Edits by phase, and whatever went wrong, by kind."""
    rows = [
        f"  {'phase':28}{'s':>7}{'edits':>8}{'failed':>8}{'made again':>12}{'windows again':>15}{'median s':>10}{'slowest':>9}"
    ]
    for phase, seconds, made in by_phase(phases, edits):
        lasted = sorted(edit.ended_s - edit.began_s for edit in made) or [0.0]
        failed, again = sum(bool(edit.error) for edit in made), sum(edit.retries > 0 for edit in made)
        tiles = sum(edit.tiles_retried for edit in made)
        median_s, slowest_s = lasted[len(lasted) // 2], lasted[-1]
        rows.append(
            f"  {phase.name:28}{seconds:7.1f}{len(made):8}{failed:8}{again:12}{tiles:15}{median_s:10.2f}{slowest_s:9.2f}"
        )
    errors = Counter(edit.error for edit in edits if edit.error)
    return "\n".join(
        ["drill: edits by what was done to the servers meanwhile", *rows, *(f"  {n} × {e}" for e, n in errors.items())]
    )


def report(phases: Sequence[Phase], edits: Sequence[Edit], times: Mapping[str, float], fired: set[str]) -> Report:
    """The figures with the claims. times: seconds and exit statuses that the story noted; fired: all alerts that did."""
    parts = {phase.name: made for phase, _, made in by_phase(phases, edits)}
    rolling, triton, orchestrator = (
        parts["rolling restart"], parts["kill -9 of a Triton"], parts["kill -9 of an orchestrator"]
    )  # fmt: skip
    figures = {
        "edits": float(len(edits)),
        "rolling_failed": float(sum(bool(edit.error) for edit in rolling)),
        "rolling_retried": float(sum(edit.retries > 0 for edit in rolling)),
        "triton_kill_failed": float(sum(bool(edit.error) for edit in triton)),
        "triton_kill_windows_retried": float(sum(edit.tiles_retried for edit in triton)),
        "orchestrator_kill_failed": float(sum(bool(edit.error) for edit in orchestrator)),
        "orchestrator_kill_edits_retried": float(sum(edit.retries > 0 for edit in orchestrator)),
        "failed": float(sum(bool(edit.error) for edit in edits)),
        **times,
        "unexpected_alerts": float(len(fired - EXPECTED_ALERTS)),
    }
    zero, once = Bound(most=0), Bound(least=1)
    bounds = {
        "rolling_failed": zero, "triton_kill_failed": zero, "orchestrator_kill_failed": zero, "failed": zero,
        "triton_kill_windows_retried": once, "orchestrator_kill_edits_retried": once,
        "orchestrator_exit_status": zero, "triton_exit_status": zero,
        "triton_alert_s": Bound(most=120), "orchestrator_alert_s": Bound(most=120), "unexpected_alerts": zero,
    }  # fmt: skip
    notes = ["alerts that fired: " + (", ".join(sorted(fired)) or "none")]
    return Report("drill", rounded(figures), bounds, notes)


def plot(path: Path, phases: Sequence[Phase], marks: Sequence[Mark], edits: Sequence[Edit]) -> None:
    """Edits that ended in each second, those that were made again or failed, and what was done when."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    zero_s = phases[0].began_s
    last = int(phases[-1].began_s - zero_s) + 1
    well, again, failed = Counter[int](), Counter[int](), Counter[int]()
    for edit in edits:
        counter = failed if edit.error else again if edit.retries or edit.tiles_retried else well
        counter[int(edit.ended_s - zero_s)] += 1
    seconds = range(last)
    figure, axes = pyplot.subplots(figsize=(14, 5), layout="constrained")
    base = [0.0] * last
    for counts, label, colour in (
        (well, "well", "#8ab6d6"),
        (again, "tried again, and well", "#e0a030"),
        (failed, "failed", "#c03030"),
    ):
        heights = [float(counts[second]) for second in seconds]
        axes.bar(seconds, heights, 1.0, base, label=f"{label}: {sum(counts.values())}", color=colour)
        base = [below + height for below, height in zip(base, heights, strict=True)]
    top = max(base) or 1.0
    for phase in phases[1:-2]:  # the steady ones at both ends are too narrow for their names
        axes.axvline(phase.began_s - zero_s, color="black", linewidth=1)
        axes.text(phase.began_s - zero_s + 1, 1.73 * top, phase.name, fontsize=9)
    label_s = -LABEL_S
    for mark in marks:
        at_s = mark.at_s - zero_s
        if at_s >= 0:
            label_s = max(at_s, label_s + LABEL_S)
            axes.plot([at_s, at_s, label_s], [0, top, 1.1 * top], color="black", linewidth=0.5, linestyle=":")
            axes.text(label_s, 1.11 * top, mark.what, rotation=60, fontsize=7, ha="left", va="bottom")
    axes.set(xlabel="seconds", ylabel="edits that ended, per second", xlim=(0, last + LABEL_S), ylim=(0, 1.8 * top))
    axes.axvline(phases[-2].began_s - zero_s, color="black", linewidth=1)
    axes.legend(loc="lower left", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
