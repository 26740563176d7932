"""What will be done, decided before any pixel is touched: pure data from a request, findings and what is served."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from retouch_server.errors import BadField
from retouch_server.imaging.mask import Mask
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.coarse import Coarse, find_coarse
from retouch_server.pipeline.findings import Findings, RegionFinding
from retouch_server.pipeline.gate import Decision, Fallback, decide
from retouch_server.pipeline.policy import BUILT_IN, Policy
from retouch_server.pipeline.proxied import Proxied, find_proxied
from retouch_server.pipeline.regions import NO_HOLE, Hole, RegionMap, StageMask
from retouch_server.pipeline.request import EditRequest, Inpaint, Options, StageName, TextRemoval
from retouch_server.pipeline.wish import UNSAID, Wish
from retouch_server.tiling import TileGrid


class Route(StrEnum):
    """What happens to a region."""

    SKIP = "skip"
    TEXT_REMOVAL = "text_removal"
    INPAINT = "inpaint"
    INPAINT_PROXY = "inpaint_proxy"
    TEXT_REMOVAL_THEN_INPAINT = "text_removal_then_inpaint"

    @property
    def removes_text(self) -> bool:
        return self in (Route.TEXT_REMOVAL, Route.TEXT_REMOVAL_THEN_INPAINT)

    @property
    def inpaints(self) -> bool:
        return self in (Route.INPAINT, Route.INPAINT_PROXY, Route.TEXT_REMOVAL_THEN_INPAINT)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage that runs: `spec` on the tiles `to_run` (indices) of `grid`; `mask` is what it may touch, None: everything.

    coarse: what is filled on the proxy first, None: nothing. hole: what is to be filled in the windows that run, about. wish:
    what models that draw are told. fallback: what takes over where the result strays from its input, None: nothing does.
    proxied: what is filled at proxy resolution only, None: nothing; at_full: then the rest of the mask.
    """

    name: StageName
    spec: ModelSpec
    grid: TileGrid
    to_run: frozenset[int]
    mask: StageMask | None
    reason: str
    coarse: Coarse | None = None
    hole: Hole = NO_HOLE
    wish: Wish = UNSAID
    fallback: Fallback | None = None
    proxied: Proxied | None = None
    at_full: StageMask | None = None
    to_spread: frozenset[int] = frozenset()
    """Of `to_run`: windows that need no call of the model, since what is masked in them is filled at proxy resolution."""

    @property
    def run_px(self) -> int:
        """Input pixels of all windows that go to the model, those of the coarse fill included."""
        side_y, side_x = min(self.spec.window_px, self.grid.height), min(self.spec.window_px, self.grid.width)
        windows = len(self.to_run) - len(self.to_spread) + (len(self.coarse.crops) if self.coarse else 0)
        return windows * side_y * side_x


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages that run, in order, why the others do not, and each region's route. gate: None where no upscaler runs."""

    stages: tuple[StagePlan, ...]
    skipped: dict[StageName, str]
    routes: tuple[Route, ...]
    scale: int
    warnings: tuple[str, ...] = field(default=())
    gate: Decision | None = None


def _at_proxy(region: RegionFinding, options: Options) -> bool:
    """Whether a fill at proxy resolution is enough for a region that is inpainted."""
    if options.inpaint == Inpaint.AUTO:
        return region.is_judged and not region.is_fine and not region.has_text and not options.prompt
    return options.inpaint == Inpaint.PROXY


def route(region: RegionFinding, options: Options) -> Route:
    """What the options and the findings make of one region."""
    removes_text = options.text_removal == TextRemoval.ALWAYS or (options.text_removal == TextRemoval.AUTO and region.has_text)
    # Asked for by name or described, inpainting is done everywhere; left to us, it spares what text removal takes care of.
    inpaints = options.inpaint != Inpaint.NONE and (
        options.inpaint != Inpaint.AUTO or bool(options.prompt) or not (removes_text and region.has_text and region.is_judged)
    )
    if removes_text:
        return Route.TEXT_REMOVAL_THEN_INPAINT if inpaints else Route.TEXT_REMOVAL
    if not inpaints:
        return Route.SKIP
    return Route.INPAINT_PROXY if _at_proxy(region, options) else Route.INPAINT


def make_plan(request: EditRequest, findings: Findings, catalogue: Catalogue, policy: Policy = BUILT_IN) -> Plan:
    """The plan. Errors: ModelNotServed, UpscalerNotAllowed, BadField."""
    options = request.options
    routes = tuple(route(region, options) for region in findings.found)
    gate = decide(options, catalogue, policy)
    stages: list[StagePlan] = []
    skipped: dict[StageName, str] = {}
    for name, planned in (
        (StageName.TEXT_REMOVAL, _text_removal(request, findings, routes, catalogue)),
        (StageName.INPAINT, _inpaint(request, findings, routes, catalogue, policy)),
        (StageName.UPSCALE, _upscale(request, gate)),
    ):
        if isinstance(planned, str):
            skipped[name] = planned
        else:
            stages.append(planned)
    return Plan(tuple(stages), skipped, routes, options.scale, tuple(_warnings(request, findings, stages)), gate)


def _text_removal(request: EditRequest, findings: Findings, routes: Sequence[Route], catalogue: Catalogue) -> StagePlan | str:
    options = request.options
    if options.text_removal == TextRemoval.NEVER:
        return "text removal was not wanted"
    if request.mask is None:
        if options.text_removal == TextRemoval.AUTO:
            return "no mask, and text is not removed unasked"
        mask, reason = StageMask(Mask.full(request.height, request.width)), "asked for, on the whole image"
    else:
        labels = [label for label, r in enumerate(routes, start=1) if r.removes_text]
        if not labels:
            return "no masked region has text" if len(routes) else "the mask is empty"
        mask = StageMask(request.mask, findings.regions, labels)
        reason = f"{len(labels)} of {len(routes)} masked regions have text"
        if options.text_removal == TextRemoval.ALWAYS:
            reason = "asked for, in all masked regions"
    spec = catalogue.require(Kind.TEXT_REMOVAL)
    stage = _masked(StageName.TEXT_REMOVAL, spec, request, mask, reason)
    if findings.text is None or request.mask is None:
        return stage
    # What it costs is what there is to remove, not where it may be looked for.
    windows = [tile.window for row in stage.grid for tile in row.tiles if tile.index in stage.to_run]
    return replace(stage, hole=mask.hole(windows, findings.text))


def _inpaint(
    request: EditRequest, findings: Findings, routes: Sequence[Route], catalogue: Catalogue, policy: Policy
) -> StagePlan | str:
    options = request.options
    if options.inpaint == Inpaint.NONE:
        return "inpainting was not wanted"
    is_ours = options.inpaint in (Inpaint.AUTO, Inpaint.PROXY)
    methods = policy.inpaint if is_ours else (options.inpaint.value,)
    # A method that was asked for must be there even when there turns out to be nothing to fill.
    spec = catalogue.find(Kind.INPAINT, methods=methods)
    if spec is None and not is_ours:
        catalogue.require(Kind.INPAINT, methods=methods)
    if options.prompt and options.inpaint == Inpaint.AUTO:
        spec = next((s for s in catalogue.specs if s.kind == Kind.INPAINT and s.is_ready and s.takes_prompt), spec)
    if request.mask is None:
        return "no mask"
    if options.inpaint == Inpaint.PROXY and not findings.judged:
        raise BadField("options.inpaint", "PROXY needs a proxy, and an image of this size came without: send one in `open`")
    labels = [label for label, r in enumerate(routes, start=1) if r.inpaints]
    if not labels:
        return "text removal takes care of all masked regions" if len(routes) else "the mask is empty"
    spec = spec or catalogue.require(Kind.INPAINT, methods=methods)
    reason = f"{len(labels)} of {len(routes)} masked regions are to be filled; {spec.method} is "
    if not is_ours:
        reason += "what was asked for"
    else:
        reason += "what takes a prompt" if options.prompt and spec.takes_prompt else "the best method served"
    stage = _masked(StageName.INPAINT, spec, request, StageMask(request.mask, findings.regions, labels), reason)
    if findings.regions is None or not findings.judged:
        return stage
    at_proxy = [label for label in labels if _at_proxy(findings.found[label - 1], options)]
    rest = [label for label in labels if label not in at_proxy]
    stage = _deep(stage, findings.regions, rest)
    if not at_proxy:
        return stage
    why = "since more would gain nothing" if options.inpaint == Inpaint.AUTO else "as asked for"
    stage = replace(stage, reason=f"{stage.reason}; {len(at_proxy)} of them at proxy resolution, {why}")
    return _proxied(stage, request.mask, findings, at_proxy, rest)


def _deep(stage: StagePlan, regions: RegionMap, labels: Sequence[int]) -> StagePlan:
    """The stage with what must be filled coarsely first, of the regions that are filled at full resolution."""
    coarse = find_coarse(regions, labels, stage.grid) if stage.spec.takes_guide and labels else None
    if coarse is None:
        return stage
    number = len(coarse.crops)
    reason = f"; {number} {'hole is' if number == 1 else 'holes are'} too large for a window and filled on the proxy first"
    return replace(stage, reason=f"{stage.reason}{reason}, which guides the windows", coarse=coarse)


def _proxied(stage: StagePlan, mask: Mask, findings: Findings, labels: Sequence[int], rest: Sequence[int]) -> StagePlan:
    """The stage with the regions `labels` filled at proxy resolution, and the regions `rest` in its windows."""
    regions = findings.regions
    assert regions is not None
    proxied = find_proxied(mask, regions, labels, stage.spec.window_px, findings.ratio)
    at_full = StageMask(mask, regions, rest)
    tiles = [tile for row in stage.grid for tile in row.tiles if tile.index in stage.to_run]
    to_model = [tile for tile in tiles if at_full.any(tile.reach)]
    return replace(
        stage,
        hole=at_full.hole([tile.window for tile in to_model]),
        proxied=proxied,
        at_full=at_full,
        to_spread=stage.to_run - {tile.index for tile in to_model},
    )


def _upscale(request: EditRequest, gate: Decision | None) -> StagePlan | str:
    if gate is None:
        return "scale 1"
    grid = _grid(gate.spec, request)
    to_run = frozenset(range(len(grid)))
    return StagePlan(StageName.UPSCALE, gate.spec, grid, to_run, None, gate.reason, fallback=gate.fallback)


def _masked(name: StageName, spec: ModelSpec, request: EditRequest, mask: StageMask, reason: str) -> StagePlan:
    """A stage on the tiles that its mask touches, within what they contribute: a window's rim is only context."""
    grid = _grid(spec, request)
    to_run = frozenset(tile.index for row in grid for tile in row.tiles if mask.any(tile.reach))
    wish = Wish(request.options.prompt, request.options.seed)
    windows = [tile.window for row in grid for tile in row.tiles if tile.index in to_run]
    return StagePlan(name, spec, grid, to_run, mask, reason, hole=mask.hole(windows), wish=wish)


def _grid(spec: ModelSpec, request: EditRequest) -> TileGrid:
    return TileGrid(request.height, request.width, spec.window_px, spec.halo_px, spec.blend_px, spec.align_px)


def _warnings(request: EditRequest, findings: Findings, stages: Sequence[StagePlan]) -> list[str]:
    warnings: list[str] = []
    if not findings.judged:
        warnings.append(
            "the image came without a proxy and is too large to make one: every masked region was treated as text and texture"
        )
    if request.options.prompt and not any(stage.spec.takes_prompt for stage in stages):
        warnings.append("the prompt was not used: none of the models that ran takes one")
    for stage in stages:
        mask = stage.at_full or stage.mask
        if stage.name == StageName.INPAINT and mask is not None and stage.coarse is None:
            tiles = (tile for row in stage.grid for tile in row.tiles if tile.index in stage.to_run)
            blind = sum(bool(mask.window(tile.window).all()) for tile in tiles) + (stage.proxied.blind if stage.proxied else 0)
            if blind:
                warnings.append(
                    f"{blind} windows lie wholly within a hole: {stage.spec.name} sees nothing there to go by, and fills them "
                    f"with one colour; holes narrower than {stage.spec.window_px} px do better"
                )
    return warnings
