"""Writes version after version of one mask until it is killed; says each version that is written. Run by test_store."""

import asyncio
import sys

import numpy as np

from retouch_server.imaging.mask import Mask
from retouch_server.masks.store import MaskStore


async def write(url: str) -> None:
    store = await MaskStore.open(url)
    found = await store.versions("image", limit=1)
    version = found[0].version if found else 0
    rng = np.random.default_rng(version)
    pixels = rng.integers(0, 256, (1000, 1500)).astype(np.uint8)
    while True:
        pixels[0, :8] = rng.integers(0, 256, 8)
        mask = Mask.from_array(pixels)
        stored, _ = await store.put("image", mask.to_png(), mask, version)
        version = stored.version
        print(version, flush=True)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
