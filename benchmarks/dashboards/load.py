"""Edits of every kind that the dashboards tell apart: done, repeated, refused, called off."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.photograph import photograph
from retouch import (
    BusyError,
    MaskReference,
    RetouchClient,
    ServiceError,
    StaleMaskError,
    UpscalerNotAllowedError,
    VersionConflictError,
)

Pixels = NDArray[np.uint8]
HEIGHT, WIDTH = 420, 560
"""More than one window of each stage, so that there are seams; small enough for two cores."""


@dataclass(frozen=True, slots=True)
class Job:
    """A picture with a caption and a hole, and the mask over both."""

    image: Pixels
    mask: Pixels


def make_job(seed: int) -> Job:
    """A piece of the shipped photograph; another one for each seed."""
    dice = random.Random(seed)
    photo = photograph()
    top, left = dice.randrange(photo.shape[0] - HEIGHT), dice.randrange(photo.shape[1] - WIDTH)
    image = photo[top : top + HEIGHT, left : left + WIDTH].copy()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.putText(image, f"SALE {seed % 100} %", (60, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (255, 255, 255), 5, cv2.LINE_AA)
    mask[30:110, 40:520] = 255
    cv2.circle(mask, (dice.randrange(80, 480), dice.randrange(220, 340)), 48, 255, cv2.FILLED)
    return Job(image, mask)


@dataclass(slots=True)
class Load:
    """Makes edits with a client; what is unlike what it should be is an error, never a silent pass."""

    client: RetouchClient
    seeds: random.Random = field(default_factory=lambda: random.Random(1))

    async def whole(self, job: Job | None = None, *, creative: bool = False) -> None:
        """Text removal, inpaint and upscale; with the creative upscaler where the asset may bear it."""
        job = job or make_job(self.seeds.randrange(10**6))
        criticality = "low" if creative else "standard"
        await self.client.edit_image(
            job.image, job.mask, scale=2, text_removal="always", inpaint="classical", criticality=criticality
        )

    async def repeated(self) -> None:
        """The same edit twice: its windows are known then."""
        job = make_job(7)
        await self.whole(job)
        await self.whole(job)

    async def looked_at(self) -> None:
        """The precheck decides."""
        job = make_job(self.seeds.randrange(10**6))
        await self.client.edit_image(job.image, job.mask)

    async def refused(self) -> None:
        """A creative upscaler for a picture of goods."""
        job = make_job(1)
        with contextlib.suppress(UpscalerNotAllowedError):
            await self.client.edit_image(job.image, scale=2, criticality="commerce", upscaler="upscale_creative_x2")
            raise AssertionError("the gate let a creative upscaler at goods")

    async def stale(self) -> None:
        """Two writers of a mask, of which one loses; and an edit that names the mask before."""
        job = make_job(self.seeds.randrange(10**6))
        name = f"load-{self.seeds.randrange(10**9)}"
        first = await self.client.masks.put(name, job.mask)
        await self.client.masks.put(name, 255 - job.mask, expected_version=first.version)
        with contextlib.suppress(VersionConflictError):
            await self.client.masks.put(name, np.zeros_like(job.mask), expected_version=first.version)
            raise AssertionError("a write over a newer mask was taken")
        with contextlib.suppress(StaleMaskError):
            await self.client.edit_image(job.image, MaskReference(name, version=first.version))
            raise AssertionError("an edit with a stale mask was taken")

    async def called_off(self) -> None:
        """The caller goes away in the midst."""
        job = make_job(self.seeds.randrange(10**6))
        with contextlib.suppress(TimeoutError, asyncio.CancelledError, ServiceError):
            await asyncio.wait_for(self.client.edit_image(job.image, job.mask, scale=2), timeout=0.4)

    async def everything_once(self) -> None:
        """One of each kind, one after the other."""
        await self.repeated()
        await self.whole(creative=True)
        await self.looked_at()
        await self.refused()
        await self.stale()
        await self.called_off()

    async def some_minutes(self, minutes: float) -> None:
        """One caller for a third of the time, two for another, then seven at once for a while, and one again."""
        for share, callers in ((0.3, 1), (0.3, 2), (0.2, 7), (0.2, 1)):
            async with asyncio.TaskGroup() as group:
                for _ in range(callers):
                    group.create_task(self._for(60 * minutes * share))

    async def _for(self, seconds: float) -> None:
        """Edits one after the other, of all kinds, most of them whole."""
        kinds = (
            self.whole,
            self.whole,
            self.looked_at,
            self.repeated,
            self._creative,
            self.refused,
            self.stale,
            self.called_off,
        )
        until_s = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until_s:
            with contextlib.suppress(BusyError):  # refused for load, also when tried again
                await self.seeds.choice(kinds)()

    async def _creative(self) -> None:
        await self.whole(creative=True)
