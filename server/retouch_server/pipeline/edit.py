"""An edit from plan to last row: the stages, composed."""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from retouch_server.cache.results import Results
from retouch_server.errors import ModelFault, ModelUnavailable, UpscalerNotAllowed
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.proxy import ProxyBuilder
from retouch_server.imaging.rows import Pixels
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.spec import Kind
from retouch_server.pipeline.estimate import LOOKS, Estimate, Estimator, work_of
from retouch_server.pipeline.findings import Findings, Precheck, text_cells, unjudged
from retouch_server.pipeline.plan import Plan, StagePlan, make_plan
from retouch_server.pipeline.policy import BUILT_IN, Policy
from retouch_server.pipeline.regions import find_regions
from retouch_server.pipeline.request import EditRequest, StageName
from retouch_server.pipeline.slots import Slots
from retouch_server.pipeline.stages.channel import RowChannel
from retouch_server.pipeline.stages.context import StageContext, StageReport
from retouch_server.pipeline.stages.job import Enlarge, Fill, Job
from retouch_server.pipeline.stages.tiled import TiledStage
from retouch_server.telemetry.metrics import Metrics
from retouch_server.telemetry.tracing import exemplar, traced


def job_of(stage: StagePlan) -> Job:
    """What the stage does with a window."""
    if stage.name == StageName.UPSCALE:
        return Enlarge(stage.spec)
    assert stage.mask is not None
    return Fill(stage.spec, stage.mask, wish=stage.wish)


@dataclass(frozen=True, slots=True)
class PlannedEdit:
    """An edit that is ready to run."""

    request: EditRequest
    findings: Findings
    plan: Plan
    estimate: Estimate
    proxy: Pixels | None = None


@dataclass(slots=True)
class EditReport:
    """What became of an edit."""

    stages: list[StageReport] = field(default_factory=list[StageReport])
    residual_text_score: float | None = None
    warnings: list[str] = field(default_factory=list[str])

    @property
    def seam_score(self) -> float:
        """The worst of any stage; 0 where no border was measured."""
        return max((stage.seam.score for stage in self.stages), default=0.0)


@dataclass(frozen=True, slots=True)
class Editor:
    """Plans edits and runs them."""

    catalogue: Catalogue
    dispatcher: Dispatcher
    precheck: Precheck
    estimator: Estimator
    executor: Executor
    metrics: Metrics
    tiles_in_flight: int
    slots: Slots
    policy: Policy = BUILT_IN
    results: Results | None = None

    @traced("plan")
    async def plan(self, request: EditRequest, proxy: Pixels | None) -> PlannedEdit:
        """Looks at the proxy, (h, w, 3), where there is one, and decides. Errors: those of `make_plan` and of the models."""
        findings, loop = Findings(), asyncio.get_running_loop()
        if request.mask is not None:
            regions = await loop.run_in_executor(self.executor, find_regions, request.mask)
            if proxy is None:
                findings = unjudged(regions)
            elif len(regions):
                with self._looking():
                    findings = await self.precheck.judge(proxy, regions, request.size)
            else:
                findings = Findings(regions)
        # A gigapixel's windows and mask take about a second.
        try:
            plan = await loop.run_in_executor(self.executor, make_plan, request, findings, self.catalogue, self.policy)
        except UpscalerNotAllowed as refusal:
            self.metrics.gate_refusals.labels(criticality=refusal.criticality).inc()
            raise
        if plan.gate is not None:
            labels = {"criticality": plan.gate.criticality.value, "method": plan.gate.spec.method}
            self.metrics.gate_decisions.labels(**labels).inc()
        for stage in StageName:
            decision = "skip" if stage in plan.skipped else "run"
            self.metrics.precheck_decisions.labels(stage=stage.value, decision=decision).inc()
        for route in plan.routes:
            self.metrics.precheck_regions.labels(route=route.value).inc()
        return PlannedEdit(request, findings, plan, self.estimator.estimate(plan, request), proxy)

    async def run(
        self, planned: PlannedEdit, source: RowChannel, sink: RowChannel, on_progress: Callable[[StageReport], None]
    ) -> EditReport:
        """Takes the image's rows from `source` and passes the result's rows to `sink`. Errors: those of the models."""
        with self.estimator.running(planned.estimate, planned.plan, planned.request) as run:
            context = StageContext(
                self.dispatcher,
                self.executor,
                self.metrics,
                self.tiles_in_flight,
                self.estimator.shares,
                on_progress,
                lambda: self.slots.slot(run),
                planned.proxy,
                self.results,
            )
            stages = [TiledStage(stage, job_of(stage), planned.request.channels, context) for stage in planned.plan.stages]
            run.reports = [stage.report for stage in stages]
            steps: list[_Step] = list(stages)
            tap = None
            removes_text = any(stage.name == StageName.TEXT_REMOVAL for stage in planned.plan.stages)
            if removes_text and planned.proxy is not None and self.catalogue.find(Kind.TEXT_DETECT) is not None:
                tap = _ProxyTap(planned.request)
                at_input_size = sum(stage.name != StageName.UPSCALE for stage in planned.plan.stages)
                steps.insert(at_input_size, tap)
            async with asyncio.TaskGroup() as group:
                for number, step in enumerate(steps):
                    after = sink if number + 1 == len(steps) else RowChannel(1)
                    group.create_task(step.run(source, after))
                    source = after
                if not steps:
                    group.create_task(_copy(source, sink))
            report = EditReport(list(run.reports))
            report.warnings += [told for stage in report.stages if (told := _fallback_warning(stage))]
            for stage in report.stages:
                self._record(stage)
            run.is_typical = all(_is_typical(stage) for stage in report.stages)
            run.machine_s = sum(stage.machine_seconds for stage in report.stages)
            if tap is not None and planned.proxy is not None:
                looked_s = await self._look_again(planned, planned.proxy, tap, report)
                run.machine_s += looked_s
                if run.is_typical and report.residual_text_score is not None:  # known results: so is what was seen in them
                    self.estimator.learn_look(looked_s)
        return report

    def _record(self, report: StageReport) -> None:
        spec, name = report.plan.spec, report.plan.name.value
        if _is_typical(report):
            self.estimator.learn(spec.name, work_of(report.plan), report.machine_seconds)
        self.metrics.stage_seconds.labels(stage=name).observe(report.seconds, exemplar())
        if report.seam.score:
            labels = {"stage": name, "model": spec.name, "version": spec.version}
            self.metrics.seam_score.labels(**labels).observe(report.seam.score)

    async def _look_again(self, planned: PlannedEdit, before: Pixels, tap: "_ProxyTap", report: EditReport) -> float:
        """Scores what text is left, in the report; the machine seconds that this took."""
        with self._looking() as took:
            try:
                report.residual_text_score = await self._residual_text(planned, before, tap.builder.finish())
            except (ModelUnavailable, ModelFault) as error:
                # The picture is done; that nobody looked at it again is worth a word, not a failure.
                report.warnings.append(f"the text left in the result was not measured: {error}")
        return took.seconds

    @contextmanager
    def _looking(self) -> Generator["_Took"]:
        """Inside, models look at a proxy, and share the machine with the edits that run."""
        shares, took = self.estimator.shares, _Took()
        shares.enter(took, LOOKS)
        try:
            yield took
        finally:
            shares.leave(took)
            took.seconds = shares.take(took)

    @traced("residual text")
    async def _residual_text(self, planned: PlannedEdit, before_px: Pixels, after: Pixels) -> float | None:
        """The share of the text under the mask that the detector still finds; None when there was no text."""
        request = planned.request
        regions = planned.findings.regions or await asyncio.get_running_loop().run_in_executor(
            self.executor, lambda: find_regions(Mask.full(request.height, request.width))
        )
        before = planned.findings.text
        if before is None:
            before = text_cells(await self.precheck.detect_text(before_px), regions)
        treated = regions.coverage * np.isin(
            regions.labels, [label for label, route in enumerate(planned.plan.routes, 1) if route.removes_text] or [1]
        )
        there_was = float((before * treated).sum())
        if there_was < 1.0:  # less than a cell
            return None
        still = text_cells(await self.precheck.detect_text(after), regions)
        score = min(1.0, float((still * treated).sum()) / there_was)
        stage = next(stage for stage in planned.plan.stages if stage.name == StageName.TEXT_REMOVAL)
        labels = {"stage": stage.name.value, "model": stage.spec.name, "version": stage.spec.version}
        self.metrics.residual_text_score.labels(**labels).observe(score)
        return score


def _is_typical(report: StageReport) -> bool:
    """Whether its time says what the work costs: not when it waited for a model to come back, knew some of its results, or
    did some of it twice."""
    return not (report.tiles_retried or report.tiles_cached or report.tiles_fell_back)


def _fallback_warning(report: StageReport) -> str:
    """Empty where nothing fell back."""
    fallback = report.plan.fallback
    if fallback is None or not report.tiles_fell_back:
        return ""
    why = "" if fallback.spec else f", since no conservative upscaler ×{report.plan.spec.scale} is served"
    return (
        f"{report.plan.spec.name} strayed from its input in {report.tiles_fell_back} of {len(report.plan.to_run)} windows "
        f"(below {fallback.least_db:g} dB when averaged down): {fallback.name} took over there{why}"
    )


@dataclass(eq=False, slots=True)
class _Took:
    """Machine seconds, once they are known."""

    seconds: float = 0.0


class _ProxyTap:
    """Lets rows pass and makes a proxy of them."""

    def __init__(self, request: EditRequest) -> None:
        self.builder = ProxyBuilder(request.height, request.width)

    async def run(self, source: RowChannel, sink: RowChannel) -> None:
        async for band in source:
            self.builder.add(band.pixels)
            await sink.put(band)
        await sink.close()


_Step = TiledStage | _ProxyTap


async def _copy(source: RowChannel, sink: RowChannel) -> None:
    async for band in source:
        await sink.put(band)
    await sink.close()
