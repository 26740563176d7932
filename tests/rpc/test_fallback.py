"""Where a creative upscaler strays from its input, the conservative one takes over; and the gate's decision is audited."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retouch.v1 import options_pb2
from retouch_server.models.fake import Function
from tests.support.models import HALO_PX, WINDOW_PX, Image, Models, fake_models, nearest, of_image, spec
from tests.support.service import Service, serve
from tests.support.wire import Outcome, edit_of, noise, say

CREATIVE, CONSERVATIVE = "upscale_creative_x2", "upscale_conservative_x2"
LOW = {"scale": 2, "criticality": options_pb2.CRITICALITY_LOW}
FAITHFUL = {"scale": 2, "criticality": options_pb2.CRITICALITY_COMMERCE}
RED = 255
"""Windows with a pixel whose channels are all of that go wrong."""


def smooth(height: int, width: int, channels: int = 3) -> Image:
    """Without a pixel of RED."""
    small = noise(height // 8 + 2, width // 8 + 2, channels) // 2 + 40
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)).reshape(height, width, channels)


def bright(image: Image) -> Image:
    """What the faithful fake makes of pixels: not what the creative one does, and within 30 dB of the input."""
    return nearest(image, 2) + np.uint8(1)


def dreaming(where: str) -> Function:
    """The creative fake: nearest, and inverted in every window, in those with a mark, or never."""

    def dream(image: Image) -> Image:
        strays = where == "everywhere" or (where == "marked" and bool((image == RED).all(axis=2).any()))
        return nearest(~image if strays else image, 2)

    return of_image(dream)


def models(where: str, *without: str) -> Models:
    creative = (spec(CREATIVE, "upscale", "creative", scale=2), dreaming(where))
    conservative = (spec(CONSERVATIVE, "upscale", "conservative", scale=2), of_image(bright))
    return {
        name: model
        for name, model in fake_models(**{CREATIVE: creative, CONSERVATIVE: conservative}).items()
        if name not in without
    }


async def low(service: Service, image: Image) -> Outcome:
    return await say(service.edits, edit_of(image, **LOW))


def fell_back(outcome: Outcome) -> int:
    (stage,) = outcome.done.stages
    assert outcome.done.gate.tiles_fell_back == stage.tiles_fell_back
    assert outcome.done.gate.HasField("fallback") == (stage.tiles_fell_back > 0)
    assert any("strayed" in warning for warning in outcome.done.warnings) == (stage.tiles_fell_back > 0)
    return stage.tiles_fell_back


async def test_nothing_falls_back_where_nothing_strays(tmp_path: Path) -> None:
    image = smooth(200, 300)
    async with serve(tmp_path, models("never")) as service:
        outcome = await low(service, image)
        assert np.array_equal(outcome.image(), nearest(image, 2))
        assert fell_back(outcome) == 0
        assert CONSERVATIVE not in service.backend.calls
        assert service.value("upscale_fallbacks_total", model=CREATIVE) == 0


@pytest.mark.parametrize("channels", [1, 3, 4])
async def test_where_it_strays_everywhere_the_edit_is_the_conservative_one(tmp_path: Path, channels: int) -> None:
    image = smooth(200, 300, channels)
    async with serve(tmp_path, models("everywhere"), result_cache="off") as service:
        outcome, wanted = await low(service, image), await say(service.edits, edit_of(image, **FAITHFUL))
        assert np.array_equal(outcome.image(), wanted.image())
        assert fell_back(outcome) == outcome.done.stages[0].tiles_run > 4
        assert outcome.done.gate.fallback.name == CONSERVATIVE
        assert service.value("upscale_fallbacks_total", model=CREATIVE) == fell_back(outcome)
        assert service.app.editor.estimator._costs[CREATIVE].measured == 0  # its time says nothing of what it costs


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 150), width=st.integers(1, 150), seed=st.integers(0, 99))
async def test_whatever_the_size(tmp_path: Path, height: int, width: int, seed: int) -> None:
    image = smooth(height, width)
    image[seed % height, seed % width] = RED
    async with serve(tmp_path, models("everywhere")) as service:
        wanted = await say(service.edits, edit_of(image, **FAITHFUL))
        assert np.array_equal((await low(service, image)).image(), wanted.image())


async def test_one_strayed_window_is_made_again_and_the_others_are_not(tmp_path: Path) -> None:
    image = smooth(300, 300)
    image[150, 150] = RED
    async with serve(tmp_path, models("marked")) as service:
        outcome = await low(service, image)
        assert 1 <= fell_back(outcome) <= 4
        assert service.backend.calls.count(CONSERVATIVE) == fell_back(outcome)
        result, creative, conservative = outcome.image(), nearest(image, 2), bright(image)
        assert ((result == creative) | (result == conservative)).all()  # they are a level apart: nothing lies between
        far = 2 * (WINDOW_PX + HALO_PX)
        assert np.array_equal(result[300, 300], conservative[300, 300])
        for y in (slice(None, 300 - far), slice(300 + far, None)):
            assert np.array_equal(result[y], creative[y])


async def test_what_fell_back_is_recalled_as_it_was(tmp_path: Path) -> None:
    image = smooth(300, 300)
    image[150, 150] = RED
    async with serve(tmp_path, models("marked")) as service:
        first, called = await low(service, image), len(service.backend.calls)
        second = await low(service, image)
        assert np.array_equal(first.image(), second.image())
        assert fell_back(first) == fell_back(second) > 0
        assert len(service.backend.calls) == called
        # What the conservative model made is known to edits that ask for it.
        await say(service.edits, edit_of(image, **FAITHFUL))
        windows = first.done.stages[0].tiles_run
        assert len(service.backend.calls) == called + windows - fell_back(first)
    async with serve(tmp_path, models("marked"), result_cache="off") as service:
        assert np.array_equal((await low(service, image)).image(), first.image())


async def test_without_a_conservative_upscaler_bicubic_has_to_do(tmp_path: Path) -> None:
    image = smooth(100, 100)
    async with serve(tmp_path, models("everywhere", CONSERVATIVE)) as service:
        outcome = await low(service, image)
        wanted = cv2.resize(image, (200, 200), interpolation=cv2.INTER_CUBIC)
        inner = (slice(20, 60), slice(20, 60))
        assert np.array_equal(outcome.image()[inner], wanted[inner])
        assert (outcome.done.gate.fallback.name, outcome.done.gate.fallback.version) == ("bicubic", "")
        assert any("no conservative upscaler ×2 is served" in warning for warning in outcome.done.warnings)
        assert fell_back(outcome) > 0


async def test_a_policy_may_let_it_stray(tmp_path: Path) -> None:
    image = smooth(100, 100)
    (tmp_path / "policy.toml").write_text("[upscale]\nleast_agreement_db = 0")
    async with serve(tmp_path, models("everywhere"), policy=tmp_path / "policy.toml") as service:
        outcome = await low(service, image)
        assert np.array_equal(outcome.image(), nearest(~image, 2))
        assert fell_back(outcome) == 0
        assert outcome.done.stages[0].borders_widened == 0  # its windows agree: nobody took each one's own "drift" off


async def test_the_gate_is_audited(service: Service) -> None:
    image = smooth(100, 100)
    chosen, named = await low(service, image), await say(service.edits, edit_of(image, scale=2, upscaler=CREATIVE))
    gate = chosen.done.gate
    assert (gate.criticality, gate.asked, gate.chosen.name) == (options_pb2.CRITICALITY_LOW, "", CREATIVE)
    assert (gate.method, list(gate.allowed), gate.policy_digest) == ("creative", ["*"], "")
    assert gate.chosen.digest == f"digest of {CREATIVE}"
    assert gate.reason == f"criticality low gets creative; {CONSERVATIVE} takes over where it strays from its input"
    assert chosen.accepted.plan.stages[2].reason == gate.reason
    assert (named.done.gate.criticality, named.done.gate.asked) == (options_pb2.CRITICALITY_STANDARD, CREATIVE)
    assert service.value("gate_decisions_total", criticality="low", method="creative") == 1
    assert service.value("gate_decisions_total", criticality="standard", method="creative") == 1
    faithful = (await say(service.edits, edit_of(image, **FAITHFUL))).done.gate
    assert (faithful.chosen.name, list(faithful.allowed)) == (CONSERVATIVE, ["conservative"])
    assert faithful.reason == "criticality commerce gets conservative"


async def test_where_nothing_is_enlarged_there_is_nothing_to_audit(service: Service) -> None:
    outcome = await say(service.edits, edit_of(smooth(40, 40)))
    assert not outcome.done.HasField("gate")


async def test_a_refusal_is_counted(service: Service) -> None:
    outcome = await say(service.edits, edit_of(smooth(40, 40), **FAITHFUL, upscaler=CREATIVE))
    assert outcome.reason == "UPSCALER_NOT_ALLOWED"
    assert service.value("gate_refusals_total", criticality="commerce") == 1
    assert service.value("gate_decisions_total", criticality="commerce", method="creative") == 0
