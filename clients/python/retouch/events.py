"""What an edit tells while it runs: `Accepted (TileReady | Progress)* Done`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retouch.geometry import Rect
from retouch.plan import Estimate, Findings, Plan, PlannedModel


@dataclass(frozen=True, slots=True)
class Accepted:
    """The edit was admitted. After a retry it comes once more, with another edit id."""

    edit_id: str  # names the edit in logs, traces and errors
    findings: Findings
    plan: Plan
    estimate: Estimate
    mask_digest: str  # empty without a mask
    mask_version: int  # 0 for an inline mask or none


@dataclass(frozen=True, slots=True, eq=False)
class TileReady:
    """Finished pixels. Tiles partition the result and come row by row, top to bottom, left to right."""

    rect: Rect  # in output pixels
    pixels: NDArray[np.uint8]  # (height, width, channels) as on the wire, read-only; valid as long as it is held


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is."""

    stage: str
    tiles_done: int
    tiles_total: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """How much of the image has been sent; reported beside the server's own events, at most once before each of them."""

    rows_sent: int
    rows_total: int


@dataclass(frozen=True, slots=True)
class StageReport:
    """What became of a stage."""

    stage: str
    seconds: float
    tiles_run: int
    tiles_cached: int
    tiles_skipped: int
    tiles_retried: int
    seam_score: float  # 1.0 = no trace of window borders; 0 where there was none to judge
    borders_widened: int  # borders of windows blended over all that both sides cover, since these disagreed
    model: PlannedModel | None


@dataclass(frozen=True, slots=True)
class Done:
    """The report of a complete edit."""

    edit_id: str
    seconds: float  # from `Accepted` to here, by the server's clock
    stages: tuple[StageReport, ...]
    seam_score: float  # the worst of any stage
    residual_text_score: float | None  # share of the text that a detector still finds; None when no text was removed
    mask_digest: str
    mask_version: int
    seed: int
    warnings: tuple[str, ...]  # the client's own first, then the server's


Event = Accepted | TileReady | Progress | Uploaded | Done
