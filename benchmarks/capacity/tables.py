"""The figures of docs/capacity.md, as Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.capacity.agreement import Pair
from benchmarks.capacity.scenarios import Result
from benchmarks.capacity.sweep import Trial


def tables(rates: Sequence[float], trials: Sequence[Trial], best: Trial, pairs: Sequence[Pair], untolerant: Result) -> str:
    """Every table, under its heading."""
    parts = {
        "Days": days(rates, best),
        "Ten times the load, a lost zone": events(rates, best, untolerant),
        "Settings": settings(trials, best),
        "Agreement": agreements(pairs),
    }
    return "\n".join(f"### {heading}\n\n{table}\n" for heading, table in parts.items())


def days(rates: Sequence[float], best: Trial) -> str:
    cost = ("replica-hours", "least possible", "ratio", "most replicas")
    head = ("edits/s at most", "queue p50, p95, p99 (s)", "refused", *cost)
    rows: list[tuple[str, ...]] = []
    for rate, day in zip(rates, best.days, strict=True):
        hours = (f"{day.replica_hours:,.0f}", f"{day.bound_hours:,.0f}", f"{day.cost:.2f}", f"{day.most_replicas:,.0f}")
        rows.append((f"{rate:g}", _queue(day.queue_s), f"{day.refused:.3%}", *hours))
    return _table(head, rows)


def events(rates: Sequence[float], best: Trial, untolerant: Result) -> str:
    stepped = ("×10 step to it: well after (s)", "queue p99 (s)", "refused")
    lost = ("zone lost: well after (s)", "queue p99 (s)", "cut", "well after, tolerating 300 s (s)")
    rows: list[tuple[str, ...]] = []
    for number, rate in enumerate(rates):
        (step, step_s), (zone, zone_s), slow_s = best.steps[number], best.zones[number], untolerant.recovered_s[number]
        after_step = (f"{step_s:.0f}", f"{step.queue_s[2]:.1f}", f"{step.refused:.2%}")
        rows.append((f"{rate:g}", *after_step, f"{zone_s:.0f}", f"{zone.queue_s[2]:.1f}", f"{zone.cut:.3%}", f"{slow_s:.0f}"))
    return _table(("edits/s", *stepped, *lost), rows)


def settings(trials: Sequence[Trial], best: Trial) -> str:
    """Cheapest first."""
    chosen = ("pending", "busy", "down after (s)", "down %/min", "up %/15 s", "MP per orchestrator", "least")
    rows: list[tuple[str, ...]] = []
    for trial in sorted(trials, key=lambda each: each.cost):
        verdict = "**chosen**" if trial is best else "" if trial.keeps_limits else "misses"
        each = trial.settings
        times = (each.pending, each.busy, each.stabilise_down_s, each.down_percent, each.up_percent)
        values = tuple(f"{value:g}".replace("inf", "–") for value in (*times, each.orchestrator_mp, each.least))
        found = (f"{trial.cost:.2f}", f"{trial.queue_s:.2f}", f"{trial.zone_s:.0f}", f"{trial.step_s:.0f}")
        rows.append((verdict, *values, *(value.replace("inf", "never") for value in found)))
    return _table(("", *chosen, "cost", "queue p99 (s)", "zone (s)", "step (s)"), rows)


def agreements(pairs: Sequence[Pair]) -> str:
    head = (
        "",
        "edits",
        "queue p50, p95, p99 (s): events",
        "steps",
        "replica-hours: events",
        "steps",
        "refused: events",
        "steps",
    )
    rows = [
        (
            pair.what,
            f"{pair.edits:,}",
            _queue(pair.events.queue_s),
            _queue(pair.steps.queue_s),
            f"{pair.events.replica_hours:.1f}",
            f"{pair.steps.replica_hours:.1f}",
            f"{pair.events.refused:.3%}",
            f"{pair.steps.refused:.3%}",
        )
        for pair in pairs
    ]
    return _table(head, rows)


def _queue(seconds: Iterable[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in seconds)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
