"""`python -m benchmarks capacity` runs, at a size that says little."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.capacity import recommended
from benchmarks.capacity.outcome import Outcome
from benchmarks.capacity.scaling import Settings
from benchmarks.capacity.sweep import Trial, best_of

ROOT = Path(__file__).parents[2]


def test_the_last_line_has_the_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "capacity", "--quick", "--write", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["benchmark"] == "capacity"
    assert answer["figures"]["cost"] >= 1, "nobody is cheaper than the bound"
    assert answer["figures"]["most_replicas"] >= 9
    assert set(json.loads((tmp_path / "recommended.json").read_text())) == set(json.loads(recommended.PATH.read_text()))
    assert (tmp_path / "tables.md").read_text().count("###") == 4
    for name in ("day", "step", "zone", "settings"):
        assert (tmp_path / f"{name}.webp").read_bytes()[8:12] == b"WEBP"


def trial(cost: float, queue_s: float, zone_s: float = 0.0) -> Trial:
    day = Outcome((0.0, 0.0, queue_s), 0.0, 0.0, cost, 1.0, 1.0)
    return Trial(Settings(), [day], [(day, zone_s)], [(day, 0.0)])


def test_the_rule() -> None:
    """Limits first, then the cost, then among those that cost nearly the same the queue."""
    cheap_and_slow, cheap, nearly, dear = trial(1.5, 30), trial(1.60, 1.5), trial(1.62, 1.0), trial(1.9, 0.1)
    assert best_of([cheap_and_slow, cheap, dear]) is cheap
    assert best_of([cheap_and_slow, cheap, nearly, dear]) is nearly
    assert best_of([trial(1.5, 1.0, zone_s=float("inf")), dear]) is dear
    assert best_of([trial(1.5, 1.9), dear]) is dear, "within the limit, but without a tenth to spare"
    assert best_of([cheap_and_slow]) is cheap_and_slow
