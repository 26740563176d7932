"""The graph of inpaint_patch, with random weights: what holds whatever it has learned. Needs torch."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from tests.models.conftest import load  # noqa: E402
from training.inpaint.network import DEPTH_LEVELS, MULTIPLE_PX, Refiner  # noqa: E402
from training.traced import put_back, to_onnx  # noqa: E402

SIZES = [(64, MULTIPLE_PX), (64, 96), (160, 128)]


def network(seed: int = 0) -> Any:
    """No two weights alike, as after training: the exporter merges those that are."""
    torch.manual_seed(seed)
    model = Refiner().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("graph") / "model.onnx")


def exported(path: Path) -> Path:
    to_onnx(network(), {"seen": 7}, "result", path)
    return path


@pytest.fixture(scope="module")
def served(graph: Path) -> Any:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda seen: session.run(["result"], {"seen": seen})[0]


@pytest.fixture(scope="module")
def refiner() -> ModuleType:
    return load("inpaint_patch", "refiner")


def seen(refiner: ModuleType, height: int, width: int, count: int = 1) -> np.ndarray:
    """Noise with a box for a hole: uint8 [N, H, W, 7]."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 3 : width // 2] = 255
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return np.stack([refiner.seen(image, mask) for image in images])


@pytest.mark.parametrize("size", SIZES)
def test_only_the_hole_is_corrected(served: Any, refiner: ModuleType, size: tuple[int, int]) -> None:
    shown = seen(refiner, *size)
    result, is_hole = served(shown), shown[..., 6] > 0
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[~is_hole], shown[..., :3][~is_hole])
    assert (result[is_hole] != shown[..., :3][is_hole]).any()


def test_deep_in_a_hole_only_the_light_is_corrected(served: Any, refiner: ModuleType) -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[16:112, 16:112] = 255
    shown = np.random.default_rng(0).integers(100, 156, (128, 128, 3), np.uint8)
    change = served(refiner.seen(shown, mask)[None])[0].astype(float) - shown
    deep, near = change[38:90, 38:90], change[16:24, 16:112]  # 22 px and more from what is known, and at most 8
    assert np.ptp(deep) > 2, "random weights correct something"

    def bend(values: np.ndarray) -> float:
        """The largest second difference: light changes linearly over TONE_PX."""
        return float(max(np.abs(np.diff(values, 2, axis)).max() for axis in (0, 1)))

    assert bend(deep) < 0.5 * bend(near)


def test_a_batch_is_its_windows_one_by_one(served: Any, refiner: ModuleType) -> None:
    shown = seen(refiner, 64, 64, count=3)
    together = served(shown)
    for index in range(3):
        np.testing.assert_array_equal(together[index], served(shown[index : index + 1])[0])


def test_the_graph_computes_what_the_network_does(served: Any, refiner: ModuleType) -> None:
    shown = seen(refiner, 96, 64)
    with torch.no_grad():
        expected = network()(torch.from_numpy(np.moveaxis(shown, 3, 1).astype(np.float32)) / 255)
    levels = np.moveaxis(expected.mul(255).add(0.5).floor().clamp(0, 255).numpy(), 1, 3)
    assert np.abs(served(shown) - levels).max() <= 1


def test_where_all_is_alike_no_grid_is_drawn() -> None:
    shown = torch.full((1, 7, 896, 896), 0.2)  # the borders do not reach its middle
    shown[:, 3:6] = 0.3
    with torch.no_grad():
        inner = network()(shown)[0, :, 440:456, 440:456]
    assert (inner - 0.2).abs().min() > 1e-4, "random weights correct something"
    torch.testing.assert_close(inner, inner[:, :1, :1].expand_as(inner), rtol=0, atol=1e-5)


def test_the_network_and_what_serves_it_have_one_depth(refiner: ModuleType) -> None:
    assert refiner.DEPTH_LEVELS == DEPTH_LEVELS
    assert refiner.MULTIPLE_PX == MULTIPLE_PX
    mask = np.zeros((9, 200), np.uint8)
    mask[:, 10:] = 1
    depth = refiner.depth_of(mask)
    assert depth[4, 9] == 0
    np.testing.assert_array_equal(depth[4, 10:13], [DEPTH_LEVELS, 2 * DEPTH_LEVELS, 3 * DEPTH_LEVELS])
    assert depth[4, -1] == 255


def test_the_same_weights_give_the_same_bytes(graph: Path, tmp_path: Path) -> None:
    assert exported(tmp_path / "again.onnx").read_bytes() == graph.read_bytes()


def test_weights_come_back_from_the_file(graph: Path) -> None:
    model = Refiner()
    put_back(model, graph)
    for name, wanted in network().state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], wanted, rtol=0, atol=0)
