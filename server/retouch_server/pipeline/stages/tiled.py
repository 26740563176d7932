"""A stage that runs a model over the tiles of an image.

    rows in ─▶ buffer ─▶ windows ─▶ model calls (bounded) ─▶ strips ─▶ canvas ─▶ rows out

Two coroutines: one cuts windows and starts calls, the other waits for strips in order and passes their rows on. While one
strip's last windows are still at the model, the next strip's first ones are already queued there, so that it never idles.
Memory: O(width × window), whatever the height.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span
from retouch_server.imaging.canvas import Canvas, Strip
from retouch_server.imaging.rows import Band, Pixels, RowBuffer
from retouch_server.models.dispatch import InSlots, Models
from retouch_server.pipeline.guesses import draw_guide
from retouch_server.pipeline.plan import StagePlan
from retouch_server.pipeline.proxied import Proxied
from retouch_server.pipeline.reference import KnownRows, Surroundings
from retouch_server.pipeline.stages.channel import RowChannel
from retouch_server.pipeline.stages.context import StageContext, StageReport
from retouch_server.pipeline.stages.fallback import Faithful, Strayed
from retouch_server.pipeline.stages.job import Fill, Job, View, bicubic
from retouch_server.pipeline.stages.spread import Spread, fill_proxied
from retouch_server.pipeline.stages.windows import Windows
from retouch_server.telemetry.tracing import annotate, span, traced
from retouch_server.tiling import Tile, TileRow

STRIPS = 2
"""Strips in memory: one is filled while the one before it is finished and handed on."""


@dataclass(slots=True)
class _Work:
    """A strip on its way: its pixels, and the calls that fill it."""

    strip: Strip
    row: TileRow
    running: int = 0
    is_cut: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self) -> None:
        if self.is_cut and not self.running:
            self.done.set()


class TiledStage:
    """Runs `plan` with `job` on rows of `channels` channels."""

    def __init__(self, plan: StagePlan, job: Job, channels: int, context: StageContext) -> None:
        self.report = StageReport(plan)
        self._plan = plan
        self._job = job
        self._channels = channels
        self._models = InSlots(context.dispatcher, self._slot)
        self._windows = Windows(context, self._models, channels, self._count_retry)
        self._context = context
        context.metrics.expect(plan.name.value, plan.spec.name)
        self._rows = list(plan.grid)
        self._to_model = plan.to_run - plan.to_spread
        self._canvas = Canvas(plan.spec.scale)
        self._in_flight = asyncio.Semaphore(context.tiles_in_flight)
        self._strips = asyncio.Semaphore(STRIPS)
        self._began_s: float | None = None
        self._known: Surroundings | None = None
        self._spread: asyncio.Task[Spread] | None = None
        self._faithful = Faithful.of(plan)

    async def run(self, source: RowChannel, sink: RowChannel) -> None:
        """Takes all rows from `source` and passes the finished ones on to `sink`, which it closes.

        Errors: those of the model calls; everything it started has then ended.
        """
        spec, report = self._plan.spec, self.report
        with span(f"stage {self._plan.name}", model=spec.name, version=spec.version, model_digest=spec.digest):
            await self._transform(source, sink)
            annotate(tiles_run=report.tiles_run, tiles_cached=report.tiles_cached, tiles_skipped=report.tiles_skipped)

    async def _transform(self, source: RowChannel, sink: RowChannel) -> None:
        strips: asyncio.Queue[_Work] = asyncio.Queue()
        try:
            await self._draw_guide()
            async with asyncio.TaskGroup() as group:
                if self._plan.proxied is not None and self._context.proxy is not None:
                    self._spread = group.create_task(self._spread_of(self._plan.proxied, self._context.proxy))
                group.create_task(self._finish(strips, sink))
                await self._cut(source, strips, group)
        finally:  # the shares would keep this stage, and its strips, for good
            self.report.machine_seconds = self._context.shares.take(self)

    async def _draw_guide(self) -> None:
        """Before the first row, fills on the proxy what is too deep for windows, which follow it."""
        plan, proxy = self._plan, self._context.proxy
        if not (plan.coarse or plan.proxied) or proxy is None or plan.mask is None:
            return
        guide = None
        if plan.coarse is not None:
            with self._at_work():
                guide = await draw_guide(plan.coarse, self._pictures(proxy), plan.spec, self._house, self._count_own_retry)
        self._job = Fill(plan.spec, plan.at_full or plan.mask, guide, plan.wish)
        self._known = Surroundings(plan.mask)

    async def _spread_of(self, proxied: Proxied, proxy: Pixels) -> Spread:
        """Fills what needs no more at proxy resolution. Rows without a share in that need not wait for it."""
        with self._at_work():
            fill = await fill_proxied(proxied.coarse, self._pictures(proxy), self._job, self._house, self._count_own_retry)
        return Spread(proxied, fill, self._plan.wish.seed)

    async def _spread_over(self, row: TileRow, pixels: Pixels, known: KnownRows | None) -> Pixels:
        """A row of windows with what is filled at proxy resolution: the model is shown that, and it is handed on."""
        if self._spread is None or self._plan.proxied is None or known is None:
            return pixels
        to_model = any(tile.index in self._to_model for tile in row.tiles)
        parts = self._plan.proxied.parts_in(row.row.window if to_model else row.row.reach)
        if not parts:
            return pixels
        spread = await self._spread
        out = pixels.copy()
        with self._at_work():
            async with asyncio.TaskGroup() as group:
                for number in parts:
                    group.create_task(self._windows.aside(spread.over, number, known, row.row.window, pixels, out))
        return out

    @property
    def _house(self) -> tuple[Models, Executor]:
        context = self._context
        return context.results.answering(self._models) if context.results else self._models, context.executor

    def _pictures(self, proxy: Pixels) -> tuple[Pixels, tuple[int, int]]:
        return proxy, (self._plan.grid.height, self._plan.grid.width)

    async def _cut(self, source: RowChannel, strips: asyncio.Queue[_Work], group: asyncio.TaskGroup) -> None:
        """Cuts windows from the rows as they come and starts their calls."""
        buffer = RowBuffer()
        bands = aiter(source)
        for number, row in enumerate(self._rows):
            while buffer.stop < row.row.window.stop:
                buffer.append(await anext(bands))
            await self._strips.acquire()
            window_rows = buffer.rows(row.row.window)
            known = await self._known_around(row, window_rows)
            window_rows = await self._spread_over(row, window_rows, known)
            work = self._work(row, window_rows)
            strips.put_nowait(work)
            for tile in row.tiles:
                if tile.index not in self._to_model:
                    continue
                await self._in_flight.acquire()
                work.running += 1
                pixels = window_rows[:, tile.column.window.slice].copy()  # a view would keep the whole row of windows
                group.create_task(self._run(tile, pixels, known, work))
            work.is_cut = True
            work.settle()
            del work, window_rows, known  # or they would be kept while the next ones are awaited
            buffer.release(row.row.window.stop if number + 1 == len(self._rows) else self._rows[number + 1].row.window.start)
        async for _ in bands:  # the end of the stream
            raise AssertionError("rows after the last")

    async def _known_around(self, row: TileRow, window_rows: Pixels) -> KnownRows | None:
        """Where the windows of a row find what they do not see themselves; None where nothing guides them."""
        if self._known is None or not any(tile.index in self._plan.to_run for tile in row.tiles):
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._context.executor, self._known.of, row.row.window, window_rows)

    def _work(self, row: TileRow, window_rows: Pixels) -> _Work:
        coming = [tile.index for tile in row.tiles if tile.index in self._to_model]
        background = None
        if len(coming) < len(row.tiles):
            background = window_rows[row.row.extent.shifted(-row.row.window.start).slice]
        strip = Strip(self._plan.grid, row, self._plan.spec.scale, self._channels, coming, background)
        return _Work(strip, row)

    def _count_own_retry(self) -> None:
        self._count_retry(self._plan.spec.name)

    def _count_retry(self, model: str) -> None:
        self.report.tiles_retried += 1
        labels = {"stage": self._plan.name.value, "model": model}
        self._context.metrics.tiles.labels(**labels, outcome="retried").inc()

    @contextmanager
    def _at_work(self) -> Generator[None]:
        """Inside, a window of the stage is under way."""
        self._began_s = self._began_s or time.monotonic()
        self.report.tiles_under_way += 1
        try:
            yield
        finally:
            self.report.tiles_under_way -= 1
            self.report.seconds = time.monotonic() - self._began_s

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        """Holds a place at the models. Inside, the stage has its share of the machine."""
        async with self._context.slot():
            self._context.shares.enter(self, self._plan.spec.name)
            self.report.tiles_at_model += 1
            try:
                yield
            finally:
                self._context.shares.leave(self)
                self.report.tiles_at_model -= 1

    @traced("tile")
    async def _run(self, tile: Tile, pixels: Pixels, known: KnownRows | None, work: _Work) -> None:
        """One window: recalled, or computed and kept; and pasted, once what strayed from its input in it was made again."""
        name, spec = self._plan.name.value, self._plan.spec
        annotate(tile=tile.index, y=tile.core.y, x=tile.core.x, model=spec.name, version=spec.version)
        tiles = self._context.metrics.tiles
        with self._at_work():
            try:
                view = await self._windows.aside(self._job.view, pixels, tile.window, known)

                def take(result: Pixels) -> Strayed | None:
                    strayed = self._faithful.strayed(view, result) if self._faithful else None
                    if strayed is None:
                        work.strip.paste(tile, result)
                    return strayed

                is_cached, strayed = await self._windows.make(self._job, view, take)
                if strayed is not None:
                    await self._fall_back(view, lambda result: work.strip.paste(tile, strayed.mended(result)))
            except Exception:  # not a cancellation: that is nobody's fault
                tiles.labels(stage=name, model=spec.name, outcome="failed").inc()
                raise
            finally:
                self._in_flight.release()
        self.report.tiles_run += not is_cached
        self.report.tiles_cached += is_cached
        outcome = "cached" if is_cached else "run"
        tiles.labels(stage=name, model=spec.name, outcome=outcome).inc()
        annotate(outcome=outcome)
        work.running -= 1
        work.settle()

    async def _fall_back(self, view: View, take: Callable[[Pixels], None]) -> None:
        """Has `take` take what a faithful job makes of a view."""
        assert self._faithful is not None
        if self._faithful.job is None:
            await self._windows.aside(lambda: take(bicubic(view.source, self._plan.spec.scale)))
        else:
            await self._windows.make(self._faithful.job, view, take)
        self.report.tiles_fell_back += 1
        self._context.metrics.upscale_fallbacks.labels(model=self._plan.spec.name).inc()

    async def _finish(self, strips: asyncio.Queue[_Work], sink: RowChannel) -> None:
        """Joins strips in order and passes on the rows that are final."""
        loop = asyncio.get_running_loop()
        name, model = self._plan.name.value, self._plan.spec.name
        for number, row in enumerate(self._rows):
            work = await strips.get()
            await work.done.wait()
            following = self._rows[number + 1].row.extent.start if number + 1 < len(self._rows) else None
            bands = await loop.run_in_executor(self._context.executor, self._join, work, following)
            skipped = sum(tile.index not in self._plan.to_run for tile in row.tiles)
            spread = sum(tile.index in self._plan.to_spread for tile in row.tiles)
            self.report.tiles_skipped += skipped
            self.report.tiles_run += spread
            for outcome, count in (("skipped", skipped), ("run", spread)):
                if count:
                    self._context.metrics.tiles.labels(stage=name, model=model, outcome=outcome).inc(count)
            self._context.on_progress(self.report)
            del work
            while bands:
                await sink.put(bands.pop(0))
            self._strips.release()
        await sink.close()

    def _join(self, work: _Work, next_start: int | None) -> list[Band]:
        """Blends the strip with the one above, and looks at the borders between tiles that ran."""
        strip, grid, scale = work.strip, self._plan.grid, self._plan.spec.scale
        core = strip.row.core.shifted(-strip.row.extent.start).scaled(scale).slice
        for number, joint in strip.joints.items():
            border = Span(grid.columns[number].core.start, grid.columns[number].core.start)
            weight = self._weight(Rect.from_spans(strip.row.core, border.grow(2).clip(Span(0, grid.width))), axis=1)
            self.report.seam.add(joint, weight, core)
        bands = self._canvas.add(strip, next_start)
        joints = [*strip.joints.values()]
        if self._canvas.joint is not None and any(strip.runs):
            border = Span(strip.row.core.start, strip.row.core.start)
            weight = self._weight(Rect.from_spans(border.grow(2).clip(Span(0, grid.height)), Span(0, grid.width)), axis=0)
            self.report.seam.add(self._canvas.joint, weight)
            joints.append(self._canvas.joint)
        widened = sum(joint.is_widened for joint in joints)
        self.report.borders_widened += widened
        self._context.metrics.borders_widened.labels(stage=self._plan.name.value, model=self._plan.spec.name).inc(widened)
        return bands

    def _weight(self, rect: Rect, axis: int) -> NDArray[np.bool_] | None:
        """Which pixels along a border count: those that the mask touches; all without a mask (None)."""
        if self._plan.mask is None:
            return None
        return np.repeat(self._plan.mask.window(rect).any(axis=axis), self._plan.spec.scale)
