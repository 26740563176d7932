"""Talking to the tritonserver under test."""

import asyncio
from collections.abc import Callable

import numpy as np
import tritonclient.grpc.aio as grpcclient
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def picture(height: int = 4, width: int = 6, count: int = 1, seed: int = 1) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


async def infer(grpc_url: str, model: str, *batches: Images) -> list[Images | BaseException]:
    """Send requests at the same time; the results, or errors, in their order."""

    async def one(client: grpcclient.InferenceServerClient, images: Images) -> Images:
        image = grpcclient.InferInput("image", list(images.shape), "UINT8")
        image.set_data_from_numpy(images)
        answer = await client.infer(model, [image], client_timeout=20)
        result = answer.as_numpy("result")
        assert result is not None
        return result

    async with grpcclient.InferenceServerClient(grpc_url) as client:
        return await asyncio.gather(*(one(client, images) for images in batches), return_exceptions=True)


async def eventually(claim: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait until a claim holds."""
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110 - what is claimed lies in other processes, which set no event
            await asyncio.sleep(0.02)
