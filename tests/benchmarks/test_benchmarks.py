"""Every benchmark runs, at a size at which its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import redis

ROOT = Path(__file__).parents[2]
SMALL = {
    "identity": ["--size", "640", "--repeats", "1"],
    "overhead": ["--size", "256", "--repeats", "1"],
    "memory": ["--size", "512", "--passthrough", "700"],
    "first_tile": ["--size", "640", "--repeats", "1"],
    "incremental": ["--size", "900", "--repeats", "1"],
    "cache": ["--size", "900", "--repeats", "1", "--stand-in-repeats", "1", "--strokes", "1"],
    "blend": ["--windows", "2", "--repeats", "1"],
    "precheck": ["--photographs", "1", "--edits", "2", "--warm-up", "1"],
    "seams": ["--folders", "benchmarks/data", "--models", "upscale_conservative_x2", "--size", "700", "--workers", "1"],
}

MAY_BE_ZERO = (
    "error_levels",
    "_overhead",
    "_direct",
    "hit_rate",
    "hit_rate_redis",
    "delta_windows",
    "resume_windows",
    "saved",
    "lost",
)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", SMALL)
def test_the_last_line_has_the_figures(name: str) -> None:
    if name == "cache" and redis.PROGRAM is None:
        pytest.skip("Redis is not installed: Debian's package is `redis-server`")
    done = run("benchmarks", name, *SMALL[name])
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["benchmark"] == name
    assert all(figure > 0 for name, figure in answer["figures"].items() if not name.endswith(MAY_BE_ZERO))


def test_help_names_them_all() -> None:
    help_text = run("benchmarks", "--help").stdout
    assert all(name in help_text for name in (*SMALL, "all"))
