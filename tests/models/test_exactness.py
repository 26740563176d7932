"""Where the halo covers the receptive field, an image in windows is the image in one piece, to one level from rounding.

The whole product cuts, blends and joins; only the model runs in this process instead of Triton's. Fills are not among what
is compared: the tone of each is matched to its window's surroundings, however far the model looks.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.photograph import enlarged
from retouch import RetouchClient
from retouch_server.models.backend import Array
from retouch_server.models.spec import Kind, ModelSpec
from tests.models.onnx_models import NAMES, SPECS, onnx_model
from tests.support.service import serve
from tests.support.wire import noise

UPSCALERS = [name for name in NAMES if SPECS[name].kind is Kind.UPSCALE]
SIZES = ((1.6, 1.9), (2.4, 0.4), (0.1, 2.7), (0.9, 1.1))
"""Of images, in windows: wide and narrow, two and three windows across, windows that are clipped."""


@pytest.mark.parametrize("name", UPSCALERS)
async def test_in_windows_or_in_one_piece(name: str, tmp_path: Path) -> None:
    model, spec = onnx_model(name), SPECS[name]
    assert spec.is_exact
    async with serve(tmp_path, {name: (spec, model)}) as service, RetouchClient(service.target) as client:
        for windows in SIZES:
            height, width = (int(spec.window_px * share) | 1 for share in windows)
            image = np.ascontiguousarray(enlarged(height + 100, width)[100:])
            whole = model({"image": image})["result"].astype(np.int16)
            call = client.edit(image, scale=spec.scale, upscaler=name, criticality="low")
            tiled = await call.result()
            assert call.report.stages[0].tiles_run > 1
            assert np.abs(tiled - whole).max() <= 1, (height, width)


@pytest.mark.parametrize(("multiple_px", "is_equal"), [(8, True), (1, False)])
async def test_a_model_that_shrinks_what_it_sees_needs_windows_in_phase(
    multiple_px: int, is_equal: bool, tmp_path: Path
) -> None:
    def blocks(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Each pixel becomes the mean of its 8 × 8: a window's first pixel begins the first of them."""
        image = inputs["image"]
        height, width = (-(-side // 8) * 8 for side in image.shape[:2])
        whole = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), "edge")
        means = whole.reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3)).astype(np.uint8)
        return {"result": means.repeat(8, axis=0).repeat(8, axis=1)[: image.shape[0], : image.shape[1]]}

    image = noise(203, 149)
    halving = ModelSpec(
        "m", Kind.UPSCALE, "m", window_px=64, halo_px=12, receptive_field_px=7, multiple_px=multiple_px, versions=("1",)
    )
    async with serve(tmp_path, {"m": (halving, blocks)}) as service, RetouchClient(service.target) as client:
        tiled = await client.edit_image(image, upscaler="m", criticality="low")
    assert np.array_equal(tiled, blocks({"image": image})["result"]) is is_equal


@pytest.mark.parametrize("name", UPSCALERS)
async def test_a_halo_that_is_too_small_is_noticed(name: str, tmp_path: Path) -> None:
    """The comparison above can fail: cores that see nothing around them differ by more than a level."""
    model, spec = onnx_model(name), SPECS[name]
    blind = type(spec)(name, spec.kind, spec.method, scale=spec.scale, window_px=64, versions=("1",))
    image = noise(128, 192)  # whole windows, which share nothing
    whole = model({"image": image})["result"].astype(np.int16)
    async with serve(tmp_path, {name: (blind, model)}) as service, RetouchClient(service.target) as client:
        tiled = await client.edit_image(image, scale=spec.scale, upscaler=name, criticality="low")
    assert np.abs(tiled - whole).max() > 1
