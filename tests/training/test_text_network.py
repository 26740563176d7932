"""The networks of text_removal and the files that ship: training goes on from them. Needs torch."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from tests.models.conftest import REPOSITORY  # noqa: E402
from training.text.network import Finder, Refiner  # noqa: E402
from training.traced import put_back, to_onnx  # noqa: E402

SERVED = REPOSITORY / "text_removal" / "1"
NETWORKS = [(Finder, {"image": 3, "hint": 2}, "model.onnx"), (Refiner, {"seen": 7}, "refiner.onnx")]


@pytest.mark.parametrize(("kind", "inputs", "name"), NETWORKS)
def test_what_ships_is_where_training_begins(kind: type, inputs: dict[str, int], name: str, tmp_path: Path) -> None:
    network = kind()
    put_back(network, SERVED / name)
    to_onnx(network, inputs, "strokes", tmp_path / name, torch.sigmoid)
    random = np.random.default_rng(0)
    given = {each: random.integers(0, 256, (1, 64, 48, channels), np.uint8) for each, channels in inputs.items()}
    shipped, again = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["strokes"], given)[0]
        for path in (SERVED / name, tmp_path / name)
    )
    assert np.abs(shipped.astype(int) - again).max() <= 1
    assert np.ptp(shipped) > 20, "noise is not all alike to it"


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match=r"refiner\.onnx has no weights of Finder"):
        put_back(Finder(), SERVED / "refiner.onnx")
