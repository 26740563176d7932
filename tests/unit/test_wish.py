"""What models that draw are told, and when a prompt decides who fills."""

import numpy as np
import pytest

from retouch_server.geometry import Rect
from retouch_server.imaging.mask import Mask
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.fake import FakeBackend
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.findings import RegionFinding, unjudged
from retouch_server.pipeline.plan import Route, make_plan, route
from retouch_server.pipeline.regions import find_regions
from retouch_server.pipeline.request import EditRequest, Inpaint, Options, StageName, TextRemoval
from retouch_server.pipeline.wish import Wish

DRAWS = ModelSpec("draws", Kind.INPAINT, "diffusion", takes_prompt=True, inputs=frozenset({"image", "mask", "prompt", "seed"}))
HERE = Rect(0, 0, 64, 64)


@pytest.mark.parametrize("prompt", ["", "a vase", "ein Krug, größer", "with\0in"])
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_a_prompt_and_a_seed_travel_as_numbers(prompt: str, seed: int) -> None:
    inputs = Wish(prompt, seed).inputs(DRAWS, HERE)
    assert {name: (values.dtype, values.ndim) for name, values in inputs.items()} == {"prompt": ("u1", 1), "seed": ("u8", 1)}
    text, end = inputs["prompt"][:-1].tobytes(), inputs["prompt"][-1]
    assert (text.decode(), end) == (prompt.replace("\0", " "), 0)
    assert int(inputs["seed"][0]) == seed


def test_each_window_has_noise_of_its_own_and_the_same_one_each_time() -> None:
    windows = [Rect(y, x, 64, 64) for y in (0, 32, 64) for x in (0, 32, 64)]
    seeds = [int(Wish("", 5).inputs(DRAWS, window)["seed"][0]) for window in windows]
    assert len(set(seeds)) == len(windows)
    assert seeds == [int(Wish("", 5).inputs(DRAWS, window)["seed"][0]) for window in windows]


def test_a_model_is_told_what_it_takes_and_nothing_else() -> None:
    assert Wish("a vase", 1).inputs(ModelSpec("m", Kind.INPAINT, "patch", inputs=frozenset({"image", "mask"})), HERE) == {}


async def test_of_models_with_one_method_the_preferred_is_found() -> None:
    shipped = ModelSpec("a", Kind.INPAINT, "patch")
    imported = ModelSpec("z", Kind.INPAINT, "patch", preference=1)
    for specs, found in (([shipped, imported], "z"), ([shipped], "a"), ([shipped, ModelSpec("b", Kind.INPAINT, "patch")], "a")):
        catalogue = Catalogue(FakeBackend({spec.name: (spec, lambda inputs: inputs) for spec in specs}))
        await catalogue.refresh()
        assert catalogue.require(Kind.INPAINT, methods=("patch",)).name == found


@pytest.mark.parametrize(
    ("options", "model", "is_used"),
    [
        (Options(prompt="a vase", seed=3, text_removal=TextRemoval.NEVER), "draws", True),
        (Options(text_removal=TextRemoval.NEVER), "patch", False),
        (Options(prompt="a vase", inpaint=Inpaint.PATCH, text_removal=TextRemoval.NEVER), "patch", False),
    ],
)
async def test_a_prompt_finds_the_model_that_takes_it(options: Options, model: str, is_used: bool) -> None:
    specs = (DRAWS, ModelSpec("patch", Kind.INPAINT, "patch"))
    catalogue = Catalogue(FakeBackend({spec.name: (spec, lambda inputs: inputs) for spec in specs}))
    await catalogue.refresh()
    pixels = np.zeros((600, 600), np.uint8)
    pixels[10:40, 10:40] = 255
    mask = Mask.from_array(pixels)
    plan = make_plan(EditRequest(600, 600, 3, mask, options=options), unjudged(find_regions(mask)), catalogue)
    (stage,) = plan.stages
    assert (stage.name, stage.spec.name) == (StageName.INPAINT, model)
    assert stage.wish == Wish(options.prompt, options.seed)
    assert any("prompt was not used" in warning for warning in plan.warnings) == (bool(options.prompt) and not is_used)


def test_what_is_described_is_drawn_where_there_was_text_too() -> None:
    sign = RegionFinding(HERE, 100, text_score=0.9, texture_score=0.5)
    assert route(sign, Options()) is Route.TEXT_REMOVAL
    assert route(sign, Options(prompt="flowers")) is Route.TEXT_REMOVAL_THEN_INPAINT
    assert route(sign, Options(prompt="flowers", inpaint=Inpaint.NONE)) is Route.TEXT_REMOVAL
