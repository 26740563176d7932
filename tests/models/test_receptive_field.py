"""How far a pixel reaches, measured: what `retouch.receptive_field_px` of each learned model says is true, and no excuse.

One pixel of a picture is changed; whatever changes in the output further away than the declared distance is a fault of the
declaration: cores of tiles would depend on what their windows do not see. The other way round, a model that declares much
more than can be found pays for a halo that it does not need.

The output is 8 bits, so a faint influence shows only where it tips a value over to the next level. Among the thousands of
values at any distance in noise some are always about to tip.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import cv2
import numpy as np
import pytest

from benchmarks.photograph import photograph
from retouch_server.geometry import ceil_div
from retouch_server.models.spec import Kind, ModelSpec
from tests.models.conftest import load
from tests.models.onnx_models import NAMES, SPECS, OnnxModel, onnx_model
from tests.models.pictures import U8
from tests.models.test_text_detect import weights

WORK_PX = 1_000_000
"""Input pixels that one model is given in all: small receptive fields are looked at hundreds of times, large ones a few."""
MARGIN_PX = 16

Run = Callable[[U8, U8], U8]
"""(side, side, 3) image and (side, side, 1) mask → (side · scale, side · scale, channels)."""


def reach_px(run: Run, spec: ModelSpec) -> int:
    """The greatest distance, in input px, at which changing one pixel changed any of the output."""
    is_window = spec.receptive_field_px >= spec.window_px
    side = _side_px(spec)
    reach = 0
    for number, (y, x) in enumerate(_places(side, trials=max(6, WORK_PX // side**2 // 2))):
        before, mask = _picture(side, number), _mask(side, number)
        after = before.copy()
        if number % 2:
            before[y, x], after[y, x] = 0, 255
        else:
            after[y, x] = np.where(before[y, x] < 128, 255, 0)
        mask[y, x] = 0  # what lies in a hole, a model need not look at
        changed = (run(before, mask) != run(after, mask)).any(axis=2)
        ys, xs = (at // spec.scale for at in np.nonzero(changed))
        if ys.size:
            reach = max(reach, int(np.abs(ys - y).max()), int(np.abs(xs - x).max()))
        if is_window and reach > spec.halo_px - spec.blend_px:
            break  # as good as the whole window: nothing that a tile contributes is out of its reach
    return reach


def _side_px(spec: ModelSpec) -> int:
    """Of a picture in whose middle a pixel can reach further than is declared; the window where that is declared."""
    if spec.receptive_field_px >= spec.window_px:
        return spec.window_px
    return ceil_div(2 * (spec.receptive_field_px + MARGIN_PX) + 1, spec.multiple_px) * spec.multiple_px


def _places(side: int, trials: int) -> Iterator[tuple[int, int]]:
    """The middle, the corners and the middles of the borders, then anywhere: at any phase of a network that halves."""
    middle, last = side // 2, side - 1
    some = [(middle, middle), (0, 0), (last, last), (0, middle), (middle, last), (0, last), (last, 0), (last, middle)]
    yield from some[:trials]
    rng = np.random.default_rng(side)
    for _ in range(trials - len(some)):
        y, x = rng.integers(0, side, 2)
        yield int(y), int(x)


def _picture(side: int, number: int) -> U8:
    """(side, side, 3): noise and pieces of the photograph in turns, each of two polarities of change twice."""
    rng = np.random.default_rng(number)
    if number // 2 % 2:
        photo = photograph()
        y, x = (int(rng.integers(0, length - side)) for length in photo.shape[:2])
        return photo[y : y + side, x : x + side].copy()
    return rng.integers(0, 256, (side, side, 3), np.uint8)


def _mask(side: int, number: int) -> U8:
    """(side, side, 1): discs over about half of the picture; large holes, whose filling looks furthest."""
    rng, mask = np.random.default_rng(number + 1), np.zeros((side, side, 1), np.uint8)
    for _ in range(8):
        y, x = rng.integers(0, side, 2)
        cv2.circle(mask, (int(x), int(y)), side // 5, 255, cv2.FILLED)
    return mask


def check_declared(spec: ModelSpec, measured_px: int) -> None:
    """A declared receptive field covers the measured one; it is at most a quarter too large; `the window` means that no
    part of a tile can be exact."""
    declared_px = spec.receptive_field_px
    told = f"{spec.name} declares {declared_px} px; changing one pixel reached {measured_px} px"
    assert measured_px <= declared_px, told
    if declared_px >= spec.window_px:
        assert measured_px > spec.halo_px - spec.blend_px, f"{told}: declare that, and tiles are exact"
    else:
        assert declared_px <= 1.25 * measured_px + 2, f"{told}: declare that, and halos can be smaller"


def runner(model: OnnxModel) -> Run:
    """The model as a function of image and mask."""

    def run(image: U8, mask: U8) -> U8:
        return model({"image": image, "mask": mask} if model.takes_mask else {"image": image})["result"]

    return run


@pytest.mark.parametrize("name", NAMES)
def test_an_onnx_model_looks_as_far_as_it_says(name: str) -> None:
    model = onnx_model(name)
    check_declared(model.spec, reach_px(runner(model), model.spec))


def test_the_detector_looks_as_far_as_it_says(detector: ModuleType) -> None:
    model, spec = detector.TextDetector(weights()), SPECS["text_detect"]
    check_declared(spec, reach_px(lambda image, mask: model.probability(image), spec))


def test_the_classical_fill_looks_as_far_as_it_says(exemplar: ModuleType) -> None:
    spec = SPECS["inpaint_classical"]
    check_declared(spec, reach_px(exemplar.fill, spec))


def test_the_diffusion_fill_looks_as_far_as_it_says() -> None:
    sampler, spec = load("inpaint_diffusion", "sampler"), SPECS["inpaint_diffusion"]
    nothing = np.zeros((spec.window_px, spec.window_px, 4), np.uint8)
    check_declared(spec, reach_px(lambda image, mask: sampler.fill(image, mask, nothing, nothing[:1, :1], 1, 1), spec))


@pytest.mark.parametrize("radius", [0, 3, 11])
def test_the_measure_finds_a_radius_that_is_known(radius: int) -> None:
    spec = ModelSpec("box", Kind.UPSCALE, "box", scale=2, window_px=64, halo_px=16, receptive_field_px=radius)

    def box(image: U8, mask: U8) -> U8:
        size = 2 * radius + 1
        blurred = cv2.blur(image, (size, size), borderType=cv2.BORDER_REPLICATE)
        return blurred.repeat(2, axis=0).repeat(2, axis=1)

    assert reach_px(box, spec) == radius


@pytest.mark.parametrize(("declared_px", "measured_px"), [(10, 11), (40, 20), (64, 8)])
def test_a_declaration_that_is_not_true_is_found(declared_px: int, measured_px: int) -> None:
    spec = ModelSpec("m", Kind.UPSCALE, "m", window_px=64, halo_px=16, receptive_field_px=declared_px, declared_blend_px=4)
    with pytest.raises(AssertionError, match=f"reached {measured_px} px"):
        check_declared(spec, measured_px)
