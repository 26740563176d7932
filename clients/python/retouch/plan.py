"""What the service found in an image, what it will do about it, and how long that should take."""

from dataclasses import dataclass, field

from retouch.geometry import Rect, Size


@dataclass(frozen=True, slots=True)
class Region:
    """A connected part of the mask, judged on the proxy."""

    bounds: Rect  # in image pixels
    area_px: int
    text_score: float  # 0 (no overlay text) to 1 (dominated by it)
    texture_score: float  # 0 (smooth) to 1 (texture too fine for a fill at proxy resolution)
    route: str  # skip, text_removal, inpaint, inpaint_proxy or text_removal_then_inpaint


@dataclass(frozen=True, slots=True)
class Findings:
    """What the precheck found; the scores are the highest of any region."""

    needs_text_removal: bool
    needs_full_resolution_inpaint: bool
    text_score: float
    texture_score: float
    regions: tuple[Region, ...]  # largest first; at most 64 are listed, all are treated


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A model by name, version and content."""

    name: str
    version: str
    digest: str  # sha256, or empty where the repository does not state it


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage of the plan, run or skipped."""

    stage: str  # text_removal, inpaint or upscale
    model: PlannedModel | None  # None when the stage is skipped
    tiles_total: int
    tiles_to_run: int
    skipped_because: str  # empty when it runs
    reason: str  # why it runs, for people


@dataclass(frozen=True, slots=True)
class Plan:
    """All three stages in order, and the size of the result."""

    stages: tuple[PlannedStage, ...]
    output_size: Size


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the edit should take once its pixels have arrived."""

    stages_s: dict[str, float]  # stage to seconds, for the stages that run
    total_s: float  # with what is queued before them
    median_error: float = 0.0  # of the last estimates of that server, 0.1 = 10 %; 0 before any edit


@dataclass(frozen=True, slots=True)
class Judged:
    """What the models saw."""

    picture: bytes  # the proxy, a JPEG
    mask: bytes  # the mask on the picture's grid, a gray PNG; empty without a mask


@dataclass(frozen=True, slots=True)
class Precheck:
    """The answer to `precheck`: what an edit would find and do."""

    findings: Findings
    plan: Plan
    estimate: Estimate
    mask_digest: str  # of the mask judged; empty without one
    warnings: tuple[str, ...]  # for people
    judged: Judged | None = field(default=None, repr=False)  # None from an older server


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the service knows it."""

    name: str
    kind: str  # precheck, text_detect, text_removal, inpaint or upscale
    method: str  # conservative, creative, classical, patch, diffusion, …
    scale: int
    window_px: int
    halo_px: int
    receptive_field_px: int  # window_px where any pixel of a window may change any other
    multiple_px: int
    is_deterministic: bool
    takes_prompt: bool
    versions: tuple[str, ...]  # those that are ready, ascending
    digest: str
    is_ready: bool
    reason: str  # why it is not ready; empty when it is
