"""How many replicas, and how scaled? Simulates the cluster under KEDA's settings: days, steps, lost zones, to 2,000 edits/s.

Service times are measured (`python -m benchmarks.capacity.measure` makes `measured.json`), the load is assumed (`load.py`).
Settings are tried in a simulation in steps of time, which one by events (SimPy) checks; those that a rule chooses go to
`recommended.json`, which the manifests must agree with. docs/capacity.md tells what comes out.
"""

import argparse
import asyncio
from pathlib import Path

from benchmarks.capacity import recommended, scenarios
from benchmarks.capacity.agreement import agreement
from benchmarks.capacity.fleet import Fleet
from benchmarks.capacity.load import classes
from benchmarks.capacity.sweep import LIMITS, MOST_QUEUE_S, MOST_REFUSED, MOST_STEP_S, MOST_ZONE_S, RATES, best_of, sweep
from benchmarks.capacity.tables import tables
from benchmarks.capacity.times import Measured
from benchmarks.report import Bound, Report, rounded

BOUNDS = {
    "queue_p99_s": Bound(most=MOST_QUEUE_S),
    "refused": Bound(most=MOST_REFUSED),
    "zone_recovery_s": Bound(most=MOST_ZONE_S),
    "step_recovery_s": Bound(most=MOST_STEP_S),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="an hour instead of a day, and few settings")
    parser.add_argument("--write", type=Path, help="a folder for recommended.json, the tables and the pictures")


async def measure(options: argparse.Namespace) -> Report:
    return await asyncio.to_thread(_measure, options)


def _measure(options: argparse.Namespace) -> Report:
    measured, quick = Measured.load(), bool(options.quick)
    mix, fleet = classes(measured), Fleet.of(measured)
    rates = (1.0, 50.0) if quick else RATES
    trials = sweep(mix, fleet, rates, hours=1.0 if quick else 24.0, is_quick=quick)
    best = best_of(trials)
    pairs = agreement(measured, mix, best.settings, is_quick=quick)
    slow = Fleet(fleet.serves_s, tolerated_s=300.0)
    untolerant = scenarios.zone(mix, [slow] * len(rates), [(rate, best.settings) for rate in rates])
    if options.write is not None:
        from benchmarks.capacity import plots

        options.write.mkdir(parents=True, exist_ok=True)
        recommended.write(options.write / "recommended.json", best)
        (options.write / "tables.md").write_text(tables(rates, trials, best, pairs, untolerant))
        plots.draw(options.write, mix, fleet, best, trials, rates, hours=1.0 if quick else 24.0)
    busiest = best.days[-1]
    figures = {
        "queue_p50_s": max(day.queue_s[0] for day in best.days),
        "queue_p95_s": max(day.queue_s[1] for day in best.days),
        "queue_p99_s": best.queue_s,
        "refused": max(day.refused for day in best.days),
        "cost": best.cost,
        "cost_at_most": busiest.cost,
        "replica_hours_at_most": busiest.replica_hours,
        "most_replicas": busiest.most_replicas,
        "zone_recovery_s": best.zone_s,
        "step_recovery_s": best.step_s,
        "step_refused": max(outcome.refused for outcome, _ in best.steps),
        "simulations_hours_ratio": pairs[-1].hours_ratio,
        "settings_tried": len(trials),
        "settings_kept": sum(trial.keeps_limits for trial in trials),
    }
    notes = (f"{min(rates):g} to {max(rates):g} edits/s; {LIMITS}", str(best.settings))
    return Report("capacity", rounded(figures), BOUNDS, notes)
