"""Fake models for FakeBackend: small windows, and functions of one pixel, so that what an edit must give is plain numpy.

`strip_text` and `fill` do not commute, so that the order of the stages shows in the result; `nearest` enlarges.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.blend import composite
from retouch_server.models.backend import Array
from retouch_server.models.fake import Function
from retouch_server.models.spec import Kind, ModelSpec

Image = NDArray[np.uint8]
Models = dict[str, tuple[ModelSpec, Function]]

WINDOW_PX = 64
HALO_PX = 8
RECEPTIVE_FIELD_PX = 4
TEXT_RED = 250
"""Pixels whose red is at least that are text to the fake detector."""


def spec(name: str, kind: Kind, method: str = "", **fields: Any) -> ModelSpec:
    """A ready model with the sizes above."""
    values = {
        "window_px": WINDOW_PX,
        "halo_px": HALO_PX,
        "receptive_field_px": RECEPTIVE_FIELD_PX,
        "versions": ("1",),
        "digest": f"digest of {name}",
        "is_deterministic": True,
    }
    return ModelSpec(name, kind, method, **(values | fields))


def strip_text(image: Image) -> Image:
    """What the fake text removal makes of pixels."""
    return image ^ np.uint8(0x55)


def fill(image: Image) -> Image:
    """What the fake inpainting makes of pixels: overflow is meant."""
    return (image * np.uint8(3) + np.uint8(7)).astype(np.uint8)


def nearest(image: Image, scale: int) -> Image:
    """Each pixel becomes scale × scale of it."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def detect_text(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Text is where red is."""
    return {"result": np.where(inputs["image"][:, :, :1] >= TEXT_RED, 255, 0).astype(np.uint8)}


def fixed_scores(text: float, texture: float) -> Function:
    """A precheck that always says the same."""
    return lambda inputs: {"scores": np.array([text, texture], np.float32)}


def of_image(function: Any, *arguments: Any) -> Function:
    """A model that gives back `function` of the input `image`."""
    return lambda inputs: {"result": function(inputs["image"], *arguments)}


def fake_models(*without: str, **instead: tuple[ModelSpec, Function]) -> Models:
    """A whole repository, less the names in `without`, with the models `instead` added or in place of theirs."""
    models: Models = {
        "precheck": (spec("precheck", Kind.PRECHECK), fixed_scores(0.0, 0.9)),
        "text_detect": (spec("text_detect", Kind.TEXT_DETECT), detect_text),
        "text_removal": (spec("text_removal", Kind.TEXT_REMOVAL, "strokes"), of_image(strip_text)),
        "inpaint_classical": (spec("inpaint_classical", Kind.INPAINT, "classical"), of_image(fill)),
        "identity": (spec("identity", Kind.UPSCALE, "identity"), of_image(nearest, 1)),
    }
    for scale in (2, 4):
        for method in ("conservative", "creative"):
            name = f"upscale_{method}_x{scale}"
            models[name] = (spec(name, Kind.UPSCALE, method, scale=scale), of_image(nearest, scale))
    return {name: model for name, model in (models | instead).items() if name not in without}


def expected(image: Image, mask: Image | None, *, text: bool, inpaint: bool, scale: int) -> Image:
    """What the stages make of (h, w, channels) pixels with the models above; `nearest` stands for alpha's bicubic, too."""
    for wanted, function in ((text, strip_text), (inpaint, fill)):
        if wanted:
            touched = function(image)
            if image.shape[2] == 4:
                touched[:, :, 3] = image[:, :, 3]
            image = touched if mask is None else composite(image, touched, mask)
    return nearest(image, scale)
