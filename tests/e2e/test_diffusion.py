"""The diffusion fill as a user gets it: the seed decides, and nothing that runs at the same time."""

import asyncio

import numpy as np
import pytest

from retouch import RetouchClient
from retouch_server.local.up import LocalService
from tests.models.pictures import disc_mask, texture

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the service


async def test_a_seed_stands_for_a_picture(service: LocalService) -> None:
    image, mask = texture(128, 160), disc_mask(128, 160, 24)[..., 0]
    async with RetouchClient(service.target) as client:

        async def drawn(seed: int) -> np.ndarray:
            return await client.edit_image(image, mask, inpaint="diffusion", text_removal="never", seed=seed)

        alone = await drawn(1)
        again, other, beside = await asyncio.gather(drawn(1), drawn(2), drawn(1))
    np.testing.assert_array_equal(again, alone)
    np.testing.assert_array_equal(beside, alone)
    assert (other != alone)[mask > 0].mean() > 0.3
    np.testing.assert_array_equal(alone[mask == 0], image[mask == 0])
