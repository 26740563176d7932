"""What the client's tests share."""

import numpy as np
from numpy.typing import NDArray


class Naps:
    """A clock that moves only by sleeping, and a record of the sleeps."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []
        self.now_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.taken_s.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


def enlarged(array: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """What the fake makes of an image."""
    return array.repeat(scale, axis=0).repeat(scale, axis=1)
