"""One of several processes that write to one image, several writers in each; says what each of them won. Run by test_store."""

import asyncio
import sys

import numpy as np

from retouch_server.errors import VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks.store import MaskStore

WRITES = 3


def mask_numbered(number: int) -> Mask:
    return Mask.from_array(np.frombuffer(number.to_bytes(12, "big"), np.uint8).reshape(3, 4).copy())


async def write(store: MaskStore, writer: int) -> int:
    """Writes until all writes have won; how often another one was first."""
    expected, lost = 0, 0
    for number in range(WRITES):
        mask = mask_numbered(100 * writer + number)
        while True:
            try:
                stored, is_new = await store.put("image", mask.to_png(), mask, expected)
            except VersionConflict as conflict:
                expected, lost = conflict.current_version, lost + 1
            else:
                break
        assert is_new
        assert stored.version == expected + 1
        print("won", stored.version, mask.digest, flush=True)
        expected = stored.version
    return lost


async def main(url: str, first: int, writers: int) -> None:
    store = await MaskStore.open(url)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # all begin together
    lost = await asyncio.gather(*(write(store, writer) for writer in range(first, first + writers)))
    print("lost", sum(lost), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
