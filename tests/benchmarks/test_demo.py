"""What the demo draws, masks and finds left behind."""

import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from benchmarks.demo.leftovers import leftovers, shared_memory
from benchmarks.demo.scene import make_scene
from benchmarks.photograph import PATH, enlarged, photograph


def test_everything_drawn_lies_under_the_mask() -> None:
    scene = make_scene()
    changed = (scene.truth != scene.before).any(axis=2)
    assert changed.mean() > 0.005
    assert scene.drawn[changed].all()
    assert (scene.mask[scene.drawn] == 255).all()
    assert 0.02 < (scene.mask > 0).mean() < 0.2


def test_the_scene_is_the_same_every_time() -> None:
    first, second = make_scene(), make_scene()
    assert np.array_equal(first.before, second.before)
    assert np.array_equal(first.mask, second.mask)


def test_the_photograph_is_small_and_credited() -> None:
    assert PATH.stat().st_size <= 1 << 20
    assert f"`{PATH.name}`" in (PATH.parent / "CREDITS.md").read_text()


def test_a_larger_photograph_has_no_joints() -> None:
    photo, large = photograph(), enlarged(2400, 3300)
    height, width = photo.shape[:2]
    assert np.array_equal(large[:height, :width], photo)
    assert np.array_equal(large[height], large[height - 1])
    assert np.array_equal(large[:, width], large[:, width - 1])


def test_what_is_left_behind_is_named() -> None:
    before = shared_memory()
    region = SharedMemory(name="retouch-test-leftover", create=True, size=4096)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert any(f"process {child.pid}" in line for line in leftovers(before))
        assert not any("retouch-test-leftover" in line for line in leftovers(before)), "it is in use"
        region.close()
        assert "/dev/shm/retouch-test-leftover" in leftovers(before)
    finally:
        child.kill()
        child.wait()
        region.unlink()
    assert not Path("/dev/shm/retouch-test-leftover").exists()
