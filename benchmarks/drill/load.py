"""Steady load: threads with a client each that make small edits one after the other, and check every pixel."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retouch import BlockingClient, EditOptions, MaskReference, RetouchError, Retry

Pixels = NDArray[np.uint8]
OPTIONS = EditOptions(text_removal="never", inpaint="classical")
TIMEOUT_S = 60.0
SIDE_PX = 192


@dataclass(frozen=True)
class Sample:
    """An image, the stored mask of what is to be filled, and the right result, made before anything was disturbed."""

    image: Pixels
    mask: Pixels
    reference: MaskReference
    expected: Pixels


@dataclass(frozen=True, slots=True)
class Edit:
    """One that ended. Times in seconds on the monotonic clock. error: empty where it went well."""

    began_s: float
    ended_s: float
    retries: int  # calls of Edit that the client made again
    tiles_retried: int  # calls of models that the orchestrator made again
    error: str = ""


def make_samples(target: str, count: int) -> list[Sample]:
    """Smooth noise with a hole. Each is edited twice and must come out alike, filled inside the hole and untouched outside."""
    samples: list[Sample] = []
    with BlockingClient(target) as client:
        for number in range(count):
            draw = np.random.default_rng(number)
            image = np.kron(draw.integers(0, 256, (SIDE_PX // 8, SIDE_PX // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
            y, x = draw.integers(8, SIDE_PX - 48, 2)
            mask[y : y + 32, x : x + 40] = 255
            reference = client.masks.put(f"drill-{number}", mask).reference()
            first, second = [client.edit_image(image, reference, OPTIONS, timeout_s=TIMEOUT_S) for _ in range(2)]
            if not np.array_equal(first, second):
                raise RuntimeError("the same edit came out in two ways before anything was disturbed")
            if not np.array_equal(first[mask == 0], image[mask == 0]) or np.array_equal(first, image):
                raise RuntimeError("an edit changed what it should keep, or nothing, before anything was disturbed")
            samples.append(Sample(image, mask, reference, first))
    return samples


@dataclass
class Load:
    """`threads` that make `rate` edits a second each, or as many as come to an end. `edits` grows from any thread."""

    target: str
    samples: Sequence[Sample]
    threads: int
    rate: float
    edits: list[Edit] = field(default_factory=list[Edit])

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._workers = [threading.Thread(target=self._work, args=(number,)) for number in range(self.threads)]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Returns when the last edit has ended."""
        self._stop.set()
        for worker in self._workers:
            worker.join()

    def _work(self, number: int) -> None:
        naps: list[float] = []

        async def nap(seconds: float) -> None:
            naps.append(seconds)
            await asyncio.sleep(seconds)

        due_s = time.monotonic() + number / (self.rate * self.threads)
        with BlockingClient(self.target, retry=Retry(sleep=nap)) as client:
            for turn in range(number, 1 << 62):
                if self._stop.wait(max(0.0, due_s - time.monotonic())):
                    return
                due_s = max(due_s + 1 / self.rate, time.monotonic())
                naps.clear()
                self.edits.append(_edit(client, self.samples[turn % len(self.samples)], bool(turn & 1), naps))


def _edit(client: BlockingClient, sample: Sample, is_stored: bool, naps: list[float]) -> Edit:
    began_s = time.monotonic()
    tiles_retried, error = 0, ""
    try:
        mask = sample.reference if is_stored else sample.mask
        call = client.edit(sample.image, mask, OPTIONS, timeout_s=TIMEOUT_S)
        if not np.array_equal(call.result(), sample.expected):
            error = "wrong: the result differs from that of the undisturbed service"
        tiles_retried = sum(stage.tiles_retried for stage in call.report.stages)
    except RetouchError as raised:
        error = f"{type(raised).__name__}: {raised}"
    return Edit(began_s, time.monotonic(), len(naps), tiles_retried, error)
