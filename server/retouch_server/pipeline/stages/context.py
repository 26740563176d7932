"""What a stage needs of the house, and what it tells of itself."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field

from retouch_server.cache.results import Results
from retouch_server.imaging.rows import Pixels
from retouch_server.imaging.seam import SeamMeter
from retouch_server.models.dispatch import Dispatcher, Slot
from retouch_server.pipeline.cost import Shares
from retouch_server.pipeline.plan import StagePlan
from retouch_server.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage needs of the house."""

    dispatcher: Dispatcher
    executor: Executor
    metrics: Metrics
    tiles_in_flight: int
    shares: Shares = field(default_factory=Shares)
    on_progress: Callable[["StageReport"], None] = lambda report: None
    slot: Slot = nullcontext
    """Holds one of the places at the models, for the edit."""
    proxy: Pixels | None = None
    """What the whole image looks like, (h, w, 3), where that is known before its rows come."""
    results: Results | None = None
    """Those of windows that were seen before; None: none are kept."""


@dataclass(slots=True)
class StageReport:
    """What became of a stage; grows while it runs."""

    plan: StagePlan
    seconds: float = 0.0
    """From the first window's start to the last one's end, the coarse fill's included."""
    machine_seconds: float = 0.0
    """Its share of the time in which windows of this edit or others were at the models, and were taken from there."""
    tiles_under_way: int = 0
    """At this moment."""
    tiles_at_model: int = 0
    """Of those that are under way."""
    tiles_run: int = 0
    tiles_cached: int = 0
    tiles_skipped: int = 0
    tiles_retried: int = 0
    borders_widened: int = 0
    """Borders between two tiles of a row, or two rows of tiles, that were blended over all that both sides cover."""
    tiles_fell_back: int = 0
    """Of those run and cached: in which the model strayed from its input."""
    seam: SeamMeter = field(default_factory=SeamMeter)

    @property
    def tiles_done(self) -> int:
        return self.tiles_run + self.tiles_cached + self.tiles_skipped
