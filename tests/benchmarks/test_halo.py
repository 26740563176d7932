"""The benchmark of halos runs, and its figures tell a plain composite from ours even at a size that shows little."""

import argparse
import asyncio
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import halo
from benchmarks.strokes import drawn, masks, strokes


def test_ours_leaves_less_than_a_plain_composite(tmp_path: Path) -> None:
    options = argparse.Namespace(folder=None, photographs=1, size=128, pictures=tmp_path)
    report = asyncio.run(halo.measure(options))
    figures = report.figures
    assert all(np.isfinite(figure) for figure in figures.values())
    assert figures["halo_share"] < figures["plain_halo_share"]
    assert figures["rim_levels"] < figures["plain_rim_levels"]
    assert figures["tone_left_whole"] < 0.3
    assert {"residual_share", "coded_share", "tone_left_pasted"} <= set(figures)
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (5 * 4 * halo.VIEW_PX, 4 * halo.VIEW_PX)


def test_strokes_are_antialiased_and_masks_nest() -> None:
    truth = np.full((160, 160, 3), 90, np.uint8)
    layers = strokes(160, 160)
    covered = 1 - np.prod([1 - layer.coverage for layer in layers], axis=0)
    assert ((covered > 0.1) & (covered < 0.9)).any()
    named = masks(covered.astype(np.float32))
    changed = (drawn(truth, layers) != truth).any(axis=2)
    assert (named["exact"][changed] == 255).all(), "exact: every pixel that a stroke changed"
    for small, large in (("coverage", "exact"), ("exact", "grown 2"), ("grown 2", "grown 4"), ("grown 4", "grown 8")):
        assert (named[small] <= named[large]).all()
