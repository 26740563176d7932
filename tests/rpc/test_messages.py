"""No message is larger than 1 MiB, whatever the size of the image: gRPC's default limits carry everything, both ways."""

import asyncio

import numpy as np
import pytest

from retouch.v1 import image_pb2
from tests.support.models import expected
from tests.support.service import Service
from tests.support.wire import MIB, edit_of, noise, opened, say, strips


@pytest.mark.parametrize(
    ("size", "channels", "scale"),
    [
        ((1, 65_535), 3, 1),
        ((65_535, 1), 3, 1),
        ((2, 65_535), 4, 4),  # a row of the result alone is 1,048,560 bytes
        ((65_535, 2), 1, 2),
        ((5, 30_000), 4, 4),
        ((3, 30_000), 3, 2),
    ],
)
async def test_wide_and_tall_images(service: Service, size: tuple[int, int], channels: int, scale: int) -> None:
    image = noise(*size, channels)
    if channels == 4:
        image[:, :, 3] = 128
    upscaler = "identity" if scale == 1 else ""
    messages = edit_of(image, scale=scale, upscaler=upscaler)
    assert max(message.ByteSize() for message in messages) <= MIB
    if size[0] == 65_535:  # tiles reach at most 1,024 rows down
        messages = [messages[0], *strips(image, 1024 * channels * size[1])]
    outcome = await say(service.edits, messages)
    assert np.array_equal(outcome.image(), expected(image, None, text=False, inpaint=False, scale=scale))


@pytest.mark.parametrize(("size", "channels", "scale"), [((2, 65_535), 4, 4), ((3, 30_000), 3, 4), ((1100, 1000), 3, 1)])
async def test_noise_as_png_fits_too(service: Service, size: tuple[int, int], channels: int, scale: int) -> None:
    """PNG makes noise larger rather than smaller."""
    image = noise(*size, channels)
    options = {"scale": scale, "output_encoding": image_pb2.ENCODING_PNG}
    outcome = await say(service.edits, edit_of(image, upscaler="" if scale > 1 else "identity", **options))
    assert outcome.code.name == "OK"
    assert max(response.ByteSize() for response in outcome.responses) <= MIB


async def test_many_regions_fit_into_accepted(service: Service) -> None:
    image, mask = noise(1000, 1000), np.zeros((1000, 1000), np.uint8)
    mask[10::50, 10::50] = 255
    outcome = await say(service.edits, edit_of(image, mask=mask))
    assert len(outcome.accepted.findings.regions) == 64, "the largest are listed"
    assert outcome.accepted.ByteSize() < 16 * 1024
    assert outcome.code.name == "OK"


async def test_the_largest_image_is_planned_without_its_pixels(service: Service) -> None:
    """A gigapixel: `accepted` comes before any tile was sent."""
    call = service.edits.Edit()
    async with asyncio.timeout(30):
        await call.write(opened(32_000, 34_000, 4, scale=4))
        response = await call.read()
    assert response.accepted.plan.output_size == image_pb2.ImageSize(height=128_000, width=136_000)
    call.cancel()
