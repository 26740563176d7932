"""What becomes of a window when a model fills it: real pictures, models that err in known ways."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.mask import Mask
from retouch_server.models.spec import Kind
from retouch_server.pipeline.regions import StageMask
from retouch_server.pipeline.stages.job import Fill
from tests.models.pictures import captioned, texture
from tests.support.models import spec

Image = NDArray[np.uint8]
Model = Callable[[Image, Image], Image]


def filled(source: Image, mask: Image, model: Model, multiple_px: int = 1) -> Image:
    """The window `source` after a fill by `model`, which gets (image, mask) as (h, w, 3) and (h, w, 1)."""
    job, window = (
        Fill(spec("m", Kind.INPAINT, multiple_px=multiple_px), StageMask(Mask.from_array(mask))),
        Rect(0, 0, *mask.shape),
    )
    view = job.view(source, window)
    prepared = job.prepare(view)
    assert prepared.call is not None
    inputs = prepared.call.inputs
    return prepared.result({"result": model(inputs["image"], inputs["mask"])})


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3, 4]), st.sampled_from([1, 8]), st.integers(0, 2**32 - 1))
def test_outside_the_mask_and_in_alpha_every_byte_stays(h: int, w: int, channels: int, multiple_px: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    source = cv2.blur(draw.integers(0, 256, (h, w, channels), np.uint8), (7, 7)).reshape(h, w, channels)
    mask = cv2.blur(np.where(draw.random((h, w)) < 0.05, 255, 0).astype(np.uint8), (5, 5)).reshape(h, w)
    answer = draw.integers(0, 256, 3, np.uint8)
    result = filled(source, mask, lambda image, _: np.broadcast_to(answer, image.shape), multiple_px)
    assert result.shape == source.shape
    assert np.array_equal(result[mask == 0], source[mask == 0])
    if channels == 4:
        assert np.array_equal(result[:, :, 3], source[:, :, 3])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_fill_that_is_the_source_changes_nothing(channels: int) -> None:
    source = np.dstack([texture(90, 120)] * 2)[:, :, :channels]
    mask = cv2.GaussianBlur(captioned(texture(90, 120))[1], (0, 0), 2.0)
    assert np.array_equal(filled(source, mask, lambda image, _: image), source)


def test_a_constant_picture_stays_constant() -> None:
    source = np.full((80, 80, 3), (10, 200, 77), np.uint8)
    mask = np.zeros((80, 80), np.uint8)
    cv2.circle(mask, (40, 40), 20, 255, -1)
    drifted = source + np.uint8(6)
    assert np.array_equal(filled(source, mask, lambda image, told: drifted), source)


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("sigma", [0.0, 1.5, 3.0])
def test_a_caption_goes_without_a_trace_though_the_model_drifts(colour: int, sigma: float) -> None:
    """The mask is exact or soft across the caption's own edge; the model is off by a gain of 4 %, 5 levels and a slope."""
    truth = texture(120, 360)
    drawn, _ = captioned(truth, colour=colour)
    mask = np.where((drawn != truth).any(axis=2), 255, 0).astype(np.uint8)
    mask = cv2.GaussianBlur(mask, (0, 0), sigma) if sigma else mask
    slope = np.linspace(-5, 5, 360)[None, :, None]
    drifted = np.clip(np.rint(truth * 1.04 + 5 + slope), 0, 255).astype(np.uint8)
    result = filled(drawn, mask, lambda image, told: drifted)
    touched = mask > 0
    error = result.astype(np.float32)[touched] - truth[touched]
    assert np.array_equal(result[~touched], drawn[~touched])
    assert np.abs(error.mean(axis=0)).max() < 1.0
    assert np.abs(error).max() <= 12, "nor any pixel"


def test_the_model_is_told_of_the_antialiased_rim() -> None:
    truth = texture(120, 360)
    drawn, _ = captioned(truth)
    difference = np.abs(drawn.astype(int) - truth).max(axis=2)
    mask = np.where(difference > 60, 255, 0).astype(np.uint8)
    told: list[Image] = []
    filled(drawn, mask, lambda image, hole: told.append(hole) or image)
    rim = (mask == 0) & (difference > 30)
    assert rim.any()
    assert (told[0][:, :, 0][rim] > 0).mean() > 0.9
    assert (told[0][:, :, 0][mask > 0] == 255).all()


def test_a_view_holds_everything_that_a_result_depends_on() -> None:
    """Results are kept by their views: a job with another mask makes the same of the same view."""
    image, mask = texture(96, 80), np.zeros((96, 80), np.uint8)
    mask[30:50, 20:60] = 255
    window = Rect(0, 0, 96, 80)
    one, other = (Fill(spec("m", Kind.INPAINT), StageMask(Mask.from_array(each))) for each in (mask, 255 - mask))
    view = one.view(image, window)
    (told, same), answer = (job.prepare(view) for job in (one, other)), np.full_like(image, 90)
    assert told.call is not None
    assert same.call is not None
    for name, values in told.call.inputs.items():
        np.testing.assert_array_equal(values, same.call.inputs[name])
    np.testing.assert_array_equal(told.result({"result": answer}), same.result({"result": answer}))
