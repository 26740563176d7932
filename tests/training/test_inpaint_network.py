"""The learned inpainter's graph, with random weights: what holds whatever it has learned. Needs torch."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from training.inpaint.export import to_onnx  # noqa: E402
from training.inpaint.masks import hole  # noqa: E402
from training.inpaint.network import CELL_PX, MULTIPLE_PX, Copy, Inpainter, Membrane, _patches, restored  # noqa: E402

WIDTHS = (16, 24, 32)
SIZES = [(MULTIPLE_PX, MULTIPLE_PX), (64, 96), (160, 128)]


def network() -> Any:
    """The same each time, and no two weights of it alike, as after training: the exporter merges those that are."""
    torch.manual_seed(0)
    model = Inpainter(WIDTHS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def graph() -> Any:
    return to_onnx(network())


@pytest.fixture(scope="module")
def served(graph: Any) -> Any:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda image, mask, guide: session.run(["result"], {"image": image, "mask": mask, "guide": guide})[0]


def window(height: int, width: int, count: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with a box-shaped hole, and no guide: uint8 [N, H, W, 3], [N, H, W, 1], [N, H, W, 4]."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (count, height, width, 3), np.uint8)
    mask = np.zeros((count, height, width, 1), np.uint8)
    mask[:, height // 4 : height // 2, width // 3 : width // 2] = 1
    return image, mask, np.zeros((count, height, width, 4), np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_outside_the_hole_changes_and_nothing_in_it_matters(served: Any, size: tuple[int, int]) -> None:
    image, mask, guide = window(*size)
    result = served(image, mask, guide)
    is_hole = mask[..., 0] > 0
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[~is_hole], image[~is_hole])
    assert (result[is_hole] != image[is_hole]).any()
    other = np.where(mask > 0, 255 - image, image)
    np.testing.assert_array_equal(served(other, mask, guide), result)


def test_a_batch_is_its_windows_one_by_one(served: Any) -> None:
    image, mask, guide = window(64, 64, count=3)
    together = served(image, mask, guide)
    for index in range(3):
        alone = served(image[index : index + 1], mask[index : index + 1], guide[index : index + 1])[0]
        np.testing.assert_array_equal(together[index], alone)


def test_the_graph_computes_what_the_network_does(graph: Any, served: Any) -> None:
    model = network()
    image, mask, guide = window(96, 64)
    guide[..., :3], guide[..., 3] = 90, 200
    planes = [torch.from_numpy(np.moveaxis(array, 3, 1).astype(np.float32)) for array in (image, mask, guide)]
    with torch.no_grad():
        expected = model(planes[0] / 255, planes[1], planes[2] / 255)
    levels = np.moveaxis(expected.mul(255).add(0.5).floor().clamp(0, 255).numpy(), 1, 3)
    difference = np.abs(served(image, mask, guide) - levels)[mask[..., 0] > 0]
    assert difference.max() <= 1


def test_a_guide_is_followed_where_it_is_sure_and_only_in_the_hole(served: Any) -> None:
    image, mask, guide = window(64, 64)
    unguided = served(image, mask, guide)
    guide[..., :3] = 250
    np.testing.assert_array_equal(served(image, mask, guide), unguided)  # confidence 0: not looked at
    guide[..., 3] = np.where(mask[..., 0] > 0, 255, 0)
    guided = served(image, mask, guide)
    is_hole = mask[..., 0] > 0
    assert guided[is_hole].mean() > unguided[is_hole].mean() + 50
    guide[~is_hole] = 77
    np.testing.assert_array_equal(served(image, mask, guide), guided)


def test_a_flat_picture_is_filled_nearly_flat_by_the_first_fill() -> None:
    known = torch.from_numpy((hole(np.random.default_rng(3), 128, "blobs", 0.4) == 0).astype(np.float32))[None, None]
    colour = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1)
    filled = Membrane()(colour.expand(1, 3, 128, 128), known)
    assert (filled - colour).abs().max() < 2e-3


def test_patches_join_to_the_picture_they_were_cut_from() -> None:
    detail = torch.rand(2, 3, 64, 48)
    inner = slice(CELL_PX // 2, -CELL_PX // 2)
    joined = Copy(8)._joined(_patches(detail))
    torch.testing.assert_close(joined[:, :, inner, inner], detail[:, :, inner, inner])


def test_the_same_weights_give_the_same_bytes(graph: Any) -> None:
    assert to_onnx(network()).SerializeToString() == graph.SerializeToString()


def test_weights_know_the_width_of_their_network() -> None:
    model = network()
    again = restored(model.state_dict())
    assert again.stem.bias.shape == model.stem.bias.shape
