"""Windows of a stage: recalled from results that were kept, or made by a model and kept."""

import asyncio
from collections.abc import Callable, Mapping
from math import prod
from typing import TypeVar

import numpy as np

from retouch_server.cache.results import Place
from retouch_server.cache.value import Value, value_of
from retouch_server.imaging.rows import Pixels
from retouch_server.models.backend import Array
from retouch_server.models.dispatch import Models
from retouch_server.pipeline.stages.context import StageContext
from retouch_server.pipeline.stages.job import Job, View

_T = TypeVar("_T")


class Windows:
    """Makes windows of `channels` channels, with `models`. `on_retry` is told the model of each further attempt at one."""

    def __init__(self, context: StageContext, models: Models, channels: int, on_retry: Callable[[str], None]) -> None:
        self._context = context
        self._models = models
        self._channels = channels
        self._on_retry = on_retry

    async def make(self, job: Job, view: View, take: Callable[[Pixels], _T]) -> tuple[bool, _T]:
        """Recalls what `job` makes of a view, or computes and keeps it, and hands it to `take`, which must copy what it keeps.

        Returns whether it was known, and what `take` said.
        """
        shape = (view.source.shape[0] * job.spec.scale, view.source.shape[1] * job.spec.scale, self._channels)
        results, place = self._context.results, Place()
        if results is not None:
            place = await results.find(job.spec, (type(job).__name__, view), prod(shape))
        if place.value is not None:
            return True, await self.aside(take, np.ndarray(shape, np.uint8, place.value))
        value, taken = await self._compute(job, view, take, keeps=bool(place.key))
        if results is not None:
            await results.keep(job.spec, place, value)
        return False, taken

    async def _compute(self, job: Job, view: View, take: Callable[[Pixels], _T], *, keeps: bool) -> tuple[Value, _T]:
        """Call, check, take; the result's bytes where they are to be kept."""

        def finish(outputs: Mapping[str, Array]) -> tuple[Value, _T]:
            result = window.result(outputs)
            return value_of([result]) if keeps else b"", take(result)

        window = await self.aside(job.prepare, view)
        async with self._models.infer(window.call, lambda: self._on_retry(window.call.model)) as outputs:
            return await self.aside(finish, outputs)

    async def aside(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Calls it in a thread, and waits for its end also when cancelled: what it works on must stay valid until then."""
        future = asyncio.get_running_loop().run_in_executor(self._context.executor, function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
