"""The benchmark of legacy thumbnails: what it calls one, and that it runs, with a program for LPIPS that is none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.legacy import QUALITIES, thumbnail_of
from benchmarks.photograph import photograph

ROOT = Path(__file__).parents[2]
PROGRAM = """import sys
print("alex", [0.5 - 0.125 * number for number in range(len(sys.argv) - 2)])
"""


def test_a_thumbnail_is_small_and_worse_the_lower_its_quality() -> None:
    truth = photograph()[:400, :600]
    clean = thumbnail_of(truth, 4, None)
    assert clean.shape == (100, 150, 3)
    off = [float(np.abs(thumbnail_of(truth, 4, quality).astype(int) - clean).mean()) for quality in QUALITIES]
    assert off == sorted(off, reverse=True)
    assert off[-1] > 0.5


def test_gains_are_over_bicubic_and_lpips_comes_from_the_program(tmp_path: Path) -> None:
    (tmp_path / "lpips.py").write_text(PROGRAM)
    words = [
        "benchmarks",
        "legacy",
        "--scales",
        "4",
        "--lpips",
        str(tmp_path / "lpips.py"),
        "--pictures",
        str(tmp_path / "seen"),
    ]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert (figures["x4_bicubic_lpips"], figures["x4_standard_lpips_gain"], figures["x4_low_lpips_gain"]) == (
        0.5,
        -0.125,
        -0.25,
    )
    assert figures["x4_low_lpips_share"] == 1
    assert figures["x4_low_fell_back"] == 0
    assert 20 < figures["x4_bicubic_psnr_db"] < 40
    assert figures["x4_standard_psnr_db_gain"] != pytest.approx(figures["x4_low_psnr_db_gain"])
    assert len(list((tmp_path / "seen").iterdir())) == 1
