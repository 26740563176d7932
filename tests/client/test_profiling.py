"""`retouch profile`: pairs in, figures and a policy out that the server takes."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from retouch.cli.root import root
from retouch.errors import InvalidInputError
from retouch.profiling import Measures, find_pairs, policy_table
from retouch.profiling.run import BICUBIC, Candidate, Score
from retouch.testing import FakeServer
from retouch_server.pipeline.policy import Policy, parse_policy
from retouch_server.pipeline.request import Criticality
from tests.client.served import served_in_thread


@pytest.fixture
def served() -> Iterator[FakeServer]:
    with served_in_thread() as fake:
        yield fake


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """One pair to enlarge (its truth is what the fake service makes: repeated pixels), one hole."""
    small = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    save(tmp_path / "input" / "thumb.png", small)
    save(tmp_path / "truth" / "thumb.png", small.repeat(2, axis=0).repeat(2, axis=1))
    save(tmp_path / "input" / "hole.png", small)
    save(tmp_path / "truth" / "hole.webp", 255 - small)
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 10:30] = 255
    save(tmp_path / "mask" / "hole.png", mask)
    (tmp_path / "labels.csv").write_text("thumb,thumbnail\n")
    return tmp_path


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))


def run(fake: FakeServer, *arguments: object) -> Result:
    return CliRunner().invoke(root, ["--server", fake.target, "profile", *map(str, arguments)])


def score(kind: str, name: str, method: str, *, psnr_db: float, lpips: float | None, ssim: float = 0.9) -> Score:
    return Score(Candidate(kind, name, method, 2 if kind == "upscale" else 1), "all", 3, psnr_db, ssim, lpips, 0.5)


def test_figures_table_and_plot_come_out(served: FakeServer, folder: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "policy.toml", tmp_path / "plot.png"
    result = run(served, folder, "-o", out, "--plot", plot, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["scores"]
    found = {(row["candidate"]["name"], row["label"]): row for row in rows}
    assert (
        found["upscale_conservative_x2", "thumbnail"]["psnr_db"] == 99.0
    )  # the fake service repeats pixels, as the truth does
    assert found[BICUBIC, "thumbnail"]["psnr_db"] < 40
    parse_policy(out.read_bytes())
    with Image.open(plot) as drawn:
        assert drawn.format == "PNG"


def test_people_get_a_table(served: FakeServer, folder: Path, tmp_path: Path) -> None:
    result = run(served, folder, "-o", tmp_path / "policy.toml")
    assert result.exit_code == 0, result.output
    assert "bicubic" in result.stdout
    assert "policy written to" in result.stdout


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda d: (d / "truth" / "thumb.png").unlink(), "has no truth"),
        (lambda d: save(d / "truth" / "thumb.png", np.zeros((41, 50, 3), np.uint8)), "not 1, 2 or 4 times"),
        (lambda d: (d / "mask" / "hole.png").unlink(), "needs a mask"),
        (lambda d: save(d / "mask" / "thumb.png", np.zeros((40, 50), np.uint8)), "needs no mask"),
        (lambda d: (d / "input" / "hole.png").write_text("no picture"), "cannot be read as a picture"),
        (lambda d: save(d / "input" / "thumb.webp", np.zeros((40, 50, 3), np.uint8)), "have one name"),
        (lambda d: (d / "labels.csv").write_text("thumb\n"), "line 1: expected NAME,label"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(folder: Path, spoil: object, complaint: str) -> None:
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(InvalidInputError, match=complaint):
        find_pairs(folder)


def test_an_empty_folder_is_bad_input_and_leaves_nothing(served: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = run(served, tmp_path / "none", "-o", tmp_path / "policy.toml")
    assert result.exit_code == 3
    assert "has no pictures" in result.stderr
    assert not (tmp_path / "policy.toml").exists()


def test_measures_know_equal_from_different(rng: np.random.Generator) -> None:
    measures = Measures()
    picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    other, mask = picture.copy(), np.zeros((32, 32), bool)
    other[:8], mask[16:] = 255 - other[:8], True
    assert (measures.psnr_db(picture, picture), measures.ssim(picture, picture)) == (99.0, pytest.approx(1))
    assert measures.psnr_db(other, picture) < 20
    assert measures.psnr_db(other, picture, mask) == 99.0
    assert measures.ssim(other, picture) < measures.ssim(other, picture, mask)


def test_the_policy_follows_the_figures() -> None:
    scores = [
        score("upscale", BICUBIC, "", psnr_db=40, lpips=0.01),
        score("upscale", "upscale_creative_x2", "creative", psnr_db=25, lpips=0.1),
        score("upscale", "upscale_conservative_x2", "conservative", psnr_db=30, lpips=0.3),
        score("upscale", "swinir", "transformer", psnr_db=32, lpips=0.25),
        score("inpaint", "patch", "patch", psnr_db=20, lpips=None, ssim=0.7),
        score("inpaint", "classical", "classical", psnr_db=21, lpips=None, ssim=0.8),
    ]
    policy = parse_policy(policy_table(scores).encode())
    assert policy.gates[Criticality.LOW].default == ("creative", "transformer", "conservative")
    assert policy.gates[Criticality.STANDARD].default == ("transformer", "conservative")
    assert policy.gates[Criticality.COMMERCE].allowed == ("transformer", "conservative")
    assert policy.inpaint == ("classical", "patch")


def test_nothing_measured_changes_nothing() -> None:
    assert dict(parse_policy(policy_table([]).encode()).gates) == dict(Policy().gates)
