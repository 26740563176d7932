"""Protos to the domain's words (`parse_*`: not trusted) and back (`to_*`)."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from retouch.geometry import Rect as WireRect
from retouch.v1 import edit_service_pb2, image_pb2, model_service_pb2, options_pb2, plan_pb2, precheck_service_pb2
from retouch.wire import WireTile
from retouch_server.errors import BadField
from retouch_server.geometry import Rect
from retouch_server.imaging.codec import decode_proxy, decode_tile_png, encode_jpeg, encode_png
from retouch_server.imaging.rows import Pixels
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.edit import EditReport, PlannedEdit
from retouch_server.pipeline.findings import Findings
from retouch_server.pipeline.gate import Decision
from retouch_server.pipeline.plan import Plan, Route
from retouch_server.pipeline.request import (
    Criticality,
    EditRequest,
    Inpaint,
    Options,
    StageName,
    TextRemoval,
    check_size,
)
from retouch_server.pipeline.stages.context import StageReport

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1 << 20
MAX_REGIONS = 64

CHANNELS: Mapping[int, int] = {
    image_pb2.PIXEL_FORMAT_GRAY8: 1,
    image_pb2.PIXEL_FORMAT_RGB8: 3,
    image_pb2.PIXEL_FORMAT_RGBA8: 4,
}
_TEXT_REMOVAL: Mapping[int, TextRemoval] = {
    options_pb2.TEXT_REMOVAL_UNSPECIFIED: TextRemoval.AUTO,
    options_pb2.TEXT_REMOVAL_AUTO: TextRemoval.AUTO,
    options_pb2.TEXT_REMOVAL_ALWAYS: TextRemoval.ALWAYS,
    options_pb2.TEXT_REMOVAL_NEVER: TextRemoval.NEVER,
}
_INPAINT: Mapping[int, Inpaint] = {
    options_pb2.INPAINT_UNSPECIFIED: Inpaint.AUTO,
    options_pb2.INPAINT_AUTO: Inpaint.AUTO,
    options_pb2.INPAINT_CLASSICAL: Inpaint.CLASSICAL,
    options_pb2.INPAINT_PATCH: Inpaint.PATCH,
    options_pb2.INPAINT_DIFFUSION: Inpaint.DIFFUSION,
    options_pb2.INPAINT_NONE: Inpaint.NONE,
    options_pb2.INPAINT_PROXY: Inpaint.PROXY,
}
_CRITICALITY: Mapping[int, Criticality] = {
    options_pb2.CRITICALITY_UNSPECIFIED: Criticality.STANDARD,
    options_pb2.CRITICALITY_LOW: Criticality.LOW,
    options_pb2.CRITICALITY_STANDARD: Criticality.STANDARD,
    options_pb2.CRITICALITY_COMMERCE: Criticality.COMMERCE,
}
_STAGE: Mapping[StageName, plan_pb2.Stage.ValueType] = {
    StageName.TEXT_REMOVAL: plan_pb2.STAGE_TEXT_REMOVAL,
    StageName.INPAINT: plan_pb2.STAGE_INPAINT,
    StageName.UPSCALE: plan_pb2.STAGE_UPSCALE,
}
_ROUTE: Mapping[Route, plan_pb2.Route.ValueType] = {
    Route.SKIP: plan_pb2.ROUTE_SKIP,
    Route.TEXT_REMOVAL: plan_pb2.ROUTE_TEXT_REMOVAL,
    Route.INPAINT: plan_pb2.ROUTE_INPAINT,
    Route.INPAINT_PROXY: plan_pb2.ROUTE_INPAINT_PROXY,
    Route.TEXT_REMOVAL_THEN_INPAINT: plan_pb2.ROUTE_TEXT_REMOVAL_THEN_INPAINT,
}
_KIND: Mapping[Kind, model_service_pb2.ModelKind.ValueType] = {
    Kind.UNKNOWN: model_service_pb2.MODEL_KIND_UNSPECIFIED,
    Kind.PRECHECK: model_service_pb2.MODEL_KIND_PRECHECK,
    Kind.TEXT_DETECT: model_service_pb2.MODEL_KIND_TEXT_DETECT,
    Kind.TEXT_REMOVAL: model_service_pb2.MODEL_KIND_TEXT_REMOVAL,
    Kind.INPAINT: model_service_pb2.MODEL_KIND_INPAINT,
    Kind.UPSCALE: model_service_pb2.MODEL_KIND_UPSCALE,
}


def parse_options(options: options_pb2.EditOptions) -> Options:
    """Options with the API's defaults. Errors: BadField."""
    return Options(
        text_removal=_choice("options.text_removal", options.text_removal, _TEXT_REMOVAL),
        inpaint=_choice("options.inpaint", options.inpaint, _INPAINT),
        scale=options.scale or 1,
        criticality=_choice("options.criticality", options.criticality, _CRITICALITY),
        upscaler=options.upscaler,
        seed=options.seed,
        prompt=options.prompt,
    )


def parse_header(size: image_pb2.ImageSize, pixel_format: int, options: options_pb2.EditOptions) -> EditRequest:
    """The request without its mask. Errors: BadField."""
    check_size(size.height, size.width)
    if pixel_format not in CHANNELS:
        raise BadField("pixel_format", f"{pixel_format} is not a format; choose GRAY8, RGB8 or RGBA8")
    return EditRequest(size.height, size.width, CHANNELS[pixel_format], options=parse_options(options))


def parse_proxy(proxy: image_pb2.Proxy, request: EditRequest) -> Pixels:
    """The proxy's pixels, (h, w, 3). Errors: BadField, also when it has not the image's proportions."""
    pixels = decode_proxy(proxy.data)
    height, width = pixels.shape[:2]
    # To the pixel or so: either side may have been rounded up.
    if min(abs(height - request.height * width / request.width), abs(width - request.width * height / request.height)) > 1.5:
        raise BadField(
            "proxy.data",
            f"has {height}×{width} px, which are not the proportions of the image of {request.height}×{request.width} px; "
            "shrink the whole image",
        )
    return pixels


def parse_encoding(field: str, encoding: int) -> int:
    """RAW or PNG; RAW when unspecified. Errors: BadField."""
    if encoding in (image_pb2.ENCODING_UNSPECIFIED, image_pb2.ENCODING_RAW):
        return image_pb2.ENCODING_RAW
    if encoding != image_pb2.ENCODING_PNG:
        raise BadField(field, f"{encoding} is not possible for tiles; choose RAW or PNG")
    return encoding


def parse_rect(rect: WireRect) -> Rect:
    return Rect(rect.y, rect.x, rect.height, rect.width)


def parse_tile_pixels(tile: WireTile, channels: int) -> Pixels:
    """The tile's pixels, (rect.height, rect.width, channels); raw bytes are not copied again. Errors: BadField."""
    height, width = tile.rect.height, tile.rect.width
    data = tile.data
    if parse_encoding("tile.encoding", tile.encoding) == image_pb2.ENCODING_PNG:
        return decode_tile_png(bytes(data), height, width, channels)
    expected = height * width * channels
    if len(data) != expected:
        raise BadField(
            "tile.data", f"{len(data)} bytes for a tile of {height}×{width}×{channels}; send exactly {expected} bytes"
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, channels)


def check_message_size(size: int) -> None:
    """Errors: BadField when a message of `size` bytes is over the limit."""
    if size > MAX_MESSAGE_BYTES:
        raise BadField(
            "message", f"{size} bytes are too many; a message may have at most {MAX_MESSAGE_BYTES} bytes, cut smaller tiles"
        )


def to_findings(findings: Findings, plan: Plan) -> plan_pb2.Findings:
    regions = [
        plan_pb2.Region(
            bounds=to_rect(region.bounds),
            area_px=region.area_px,
            text_score=region.text_score,
            texture_score=region.texture_score,
            route=_ROUTE[route],
        )
        for region, route in list(zip(findings.found, plan.routes, strict=True))[:MAX_REGIONS]
    ]
    return plan_pb2.Findings(
        needs_text_removal=findings.needs_text_removal,
        needs_full_resolution_inpaint=findings.needs_full_resolution_inpaint,
        text_score=findings.text_score,
        texture_score=findings.texture_score,
        regions=regions,
    )


def to_judged(proxy: Pixels, findings: Findings) -> precheck_service_pb2.Judged:
    """What the models saw: well below a message's limit, since a proxy has at most a megapixel."""
    mask = b"" if findings.regions is None else encode_png(findings.regions.shrunken(*proxy.shape[:2]))
    return precheck_service_pb2.Judged(picture=encode_jpeg(proxy), mask=mask)


def to_plan(planned: PlannedEdit) -> plan_pb2.Plan:
    running = {stage.name: stage for stage in planned.plan.stages}
    stages: list[plan_pb2.PlannedStage] = []
    for name in StageName:
        if name in running:
            stage = running[name]
            stages.append(
                plan_pb2.PlannedStage(
                    stage=_STAGE[name],
                    model=to_planned_model(stage.spec),
                    tiles_total=len(stage.grid),
                    tiles_to_run=len(stage.to_run),
                    reason=stage.reason,
                )
            )
        else:
            stages.append(plan_pb2.PlannedStage(stage=_STAGE[name], skipped_because=planned.plan.skipped[name]))
    scale, request = planned.plan.scale, planned.request
    size = image_pb2.ImageSize(height=request.height * scale, width=request.width * scale)
    return plan_pb2.Plan(stages=stages, output_size=size)


def to_estimate(planned: PlannedEdit) -> plan_pb2.Estimate:
    stages = [
        plan_pb2.StageEstimate(stage=_STAGE[name], estimate_ms=round(seconds * 1000))
        for name, seconds in planned.estimate.stages_s.items()
    ]
    estimate = planned.estimate
    return plan_pb2.Estimate(stages=stages, total_ms=round(estimate.total_s * 1000), median_error=estimate.error)


def to_progress(report: StageReport) -> edit_service_pb2.Progress:
    return edit_service_pb2.Progress(
        stage=_STAGE[report.plan.name], tiles_done=report.tiles_done, tiles_total=len(report.plan.grid)
    )


def to_gate(decision: Decision, report: StageReport) -> edit_service_pb2.Gate:
    gate = edit_service_pb2.Gate(
        criticality=options_pb2.Criticality.Value(f"CRITICALITY_{decision.criticality.upper()}"),
        asked=decision.asked,
        chosen=to_planned_model(decision.spec),
        method=decision.spec.method,
        allowed=decision.allowed,
        policy_digest=decision.policy_digest,
        reason=decision.reason,
        tiles_fell_back=report.tiles_fell_back,
    )
    if decision.fallback is not None and report.tiles_fell_back:
        spec = decision.fallback.spec
        gate.fallback.CopyFrom(to_planned_model(spec) if spec else plan_pb2.PlannedModel(name=decision.fallback.name))
    return gate


def to_done(planned: PlannedEdit, report: EditReport, seconds: float) -> edit_service_pb2.Done:
    request = planned.request
    return edit_service_pb2.Done(
        seconds=seconds,
        stages=[_to_stage_report(stage) for stage in report.stages],
        seam_score=report.seam_score,
        residual_text_score=report.residual_text_score,
        mask_digest=request.mask.digest if request.mask else "",
        mask_version=request.mask_version,
        seed=request.options.seed,
        warnings=[*planned.plan.warnings, *report.warnings],
        gate=to_gate(planned.plan.gate, report.stages[-1]) if planned.plan.gate else None,
    )


def to_model(spec: ModelSpec) -> model_service_pb2.Model:
    return model_service_pb2.Model(
        name=spec.name,
        kind=_KIND[spec.kind],
        method=spec.method,
        scale=spec.scale,
        window_px=spec.window_px,
        halo_px=spec.halo_px,
        receptive_field_px=spec.receptive_field_px,
        multiple_px=spec.multiple_px,
        is_deterministic=spec.is_deterministic,
        takes_prompt=spec.takes_prompt,
        versions=spec.versions,
        digest=spec.digest,
        is_ready=spec.is_ready,
        reason=spec.reason,
    )


def to_planned_model(spec: ModelSpec) -> plan_pb2.PlannedModel:
    return plan_pb2.PlannedModel(name=spec.name, version=spec.version, digest=spec.digest)


def to_rect(rect: Rect) -> image_pb2.Rect:
    return image_pb2.Rect(y=rect.y, x=rect.x, height=rect.height, width=rect.width)


def _to_stage_report(report: StageReport) -> edit_service_pb2.StageReport:
    return edit_service_pb2.StageReport(
        stage=_STAGE[report.plan.name],
        seconds=report.seconds,
        tiles_run=report.tiles_run,
        tiles_skipped=report.tiles_skipped,
        tiles_cached=report.tiles_cached,
        tiles_retried=report.tiles_retried,
        seam_score=report.seam.score,
        model=to_planned_model(report.plan.spec),
        borders_widened=report.borders_widened,
        tiles_fell_back=report.tiles_fell_back,
    )


def _choice(field: str, value: int, choices: Mapping[int, T]) -> T:
    if value not in choices:
        raise BadField(field, f"{value} is not one of the values that this server knows ({', '.join(map(str, choices))})")
    return choices[value]
