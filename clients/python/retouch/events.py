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
    tiles_fell_back: int = 0  # of those run and cached: where the model strayed from its input and a faithful one took over


@dataclass(frozen=True, slots=True)
class Gate:
    """What the criticality gate decided about the enlargement."""

    criticality: str
    asked: str  # the upscaler that was asked for by name; empty where the criticality decided
    chosen: PlannedModel
    method: str  # conservative, creative, or a word of an imported model's own
    allowed: tuple[str, ...]  # methods, for this criticality; "*": any
    policy_digest: str  # sha256 of the server's policy file; empty: the table that is built in
    reason: str  # for people
    tiles_fell_back: int  # windows in which `chosen` strayed from its input, so that `fallback` took over there
    fallback: PlannedModel | None  # None where nothing strayed; without a version no model: bicubic


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
    gate: Gate | None = None  # None where no upscaler ran


Event = Accepted | TileReady | Progress | Uploaded | Done
