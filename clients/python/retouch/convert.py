"""Between the generated messages and this package's values. Nothing else shows a caller a protobuf."""

from typing import Any

from retouch import plan
from retouch.events import Accepted, Done, Gate, Progress, StageReport
from retouch.geometry import Rect, Size
from retouch.mask import MaskReference
from retouch.options import EditOptions
from retouch.pixels import PixelFormat
from retouch.v1 import edit_service_pb2 as edit_pb
from retouch.v1 import image_pb2, model_service_pb2, options_pb2, plan_pb2, precheck_service_pb2


def to_pixel_format(name: PixelFormat) -> image_pb2.PixelFormat.ValueType:
    """gray8 becomes PIXEL_FORMAT_GRAY8."""
    return image_pb2.PixelFormat.Value(f"PIXEL_FORMAT_{name.upper()}")


def to_size(size: Size) -> image_pb2.ImageSize:
    """A size as a message."""
    return image_pb2.ImageSize(height=size.height, width=size.width)


def to_options(options: EditOptions) -> options_pb2.EditOptions:
    """Options as a message; every choice is stated."""
    return options_pb2.EditOptions(
        text_removal=options_pb2.TextRemoval.Value(f"TEXT_REMOVAL_{options.text_removal.upper()}"),
        inpaint=options_pb2.Inpaint.Value(f"INPAINT_{options.inpaint.upper()}"),
        scale=options.scale,
        criticality=options_pb2.Criticality.Value(f"CRITICALITY_{options.criticality.upper()}"),
        upscaler=options.upscaler or "",
        seed=options.seed,
        prompt=options.prompt,
        output_encoding=image_pb2.Encoding.Value(f"ENCODING_{options.output_encoding.upper()}"),
    )


def to_reference(reference: MaskReference) -> image_pb2.MaskSource:
    """A reference as a message."""
    return image_pb2.MaskSource(
        reference=image_pb2.MaskReference(image_id=reference.image_id, version=reference.version, digest=reference.digest)
    )


def from_size(size: image_pb2.ImageSize) -> Size:
    """A size from a message."""
    return Size(size.height, size.width)


def from_rect(rect: image_pb2.Rect) -> Rect:
    """A rectangle from a message."""
    return Rect(rect.y, rect.x, rect.height, rect.width)


def from_accepted(message: edit_pb.Accepted) -> Accepted:
    """The first event of an edit."""
    return Accepted(
        edit_id=message.edit_id,
        findings=from_findings(message.findings),
        plan=from_plan(message.plan),
        estimate=from_estimate(message.estimate),
        mask_digest=message.mask_digest,
        mask_version=message.mask_version,
    )


def from_progress(message: edit_pb.Progress) -> Progress:
    """How far a stage is."""
    return Progress(_word(plan_pb2.Stage, message.stage), message.tiles_done, message.tiles_total)


def from_done(message: edit_pb.Done, edit_id: str, notes: list[str]) -> Done:
    """The last event of an edit, with the client's own warnings before the server's."""
    return Done(
        edit_id=edit_id,
        seconds=message.seconds,
        stages=tuple(map(_stage_report, message.stages)),
        seam_score=message.seam_score,
        residual_text_score=message.residual_text_score if message.HasField("residual_text_score") else None,
        mask_digest=message.mask_digest,
        mask_version=message.mask_version,
        seed=message.seed,
        warnings=(*notes, *message.warnings),
        gate=_gate(message.gate) if message.HasField("gate") else None,
    )


def from_findings(message: plan_pb2.Findings) -> plan.Findings:
    """What the precheck found."""
    return plan.Findings(
        needs_text_removal=message.needs_text_removal,
        needs_full_resolution_inpaint=message.needs_full_resolution_inpaint,
        text_score=message.text_score,
        texture_score=message.texture_score,
        regions=tuple(map(_region, message.regions)),
    )


def from_plan(message: plan_pb2.Plan) -> plan.Plan:
    """What will be done."""
    return plan.Plan(tuple(map(_planned_stage, message.stages)), from_size(message.output_size))


def from_estimate(message: plan_pb2.Estimate) -> plan.Estimate:
    """How long it should take, in seconds."""
    stages_s = {_word(plan_pb2.Stage, each.stage): each.estimate_ms / 1000 for each in message.stages}
    return plan.Estimate(stages_s, message.total_ms / 1000, message.median_error)


def from_precheck(message: precheck_service_pb2.PrecheckResponse, notes: list[str]) -> plan.Precheck:
    """The answer of PrecheckService."""
    return plan.Precheck(
        findings=from_findings(message.findings),
        plan=from_plan(message.plan),
        estimate=from_estimate(message.estimate),
        mask_digest=message.mask_digest,
        warnings=(*notes, *message.warnings),
        judged=plan.Judged(message.judged.picture, message.judged.mask) if message.HasField("judged") else None,
    )


def from_model(message: model_service_pb2.Model) -> plan.Model:
    """A model as the service lists it."""
    return plan.Model(
        name=message.name,
        kind=_word(model_service_pb2.ModelKind, message.kind),
        method=message.method,
        scale=message.scale,
        window_px=message.window_px,
        halo_px=message.halo_px,
        receptive_field_px=message.receptive_field_px,
        multiple_px=message.multiple_px,
        is_deterministic=message.is_deterministic,
        takes_prompt=message.takes_prompt,
        versions=tuple(message.versions),
        digest=message.digest,
        is_ready=message.is_ready,
        reason=message.reason,
    )


def _region(message: plan_pb2.Region) -> plan.Region:
    return plan.Region(
        bounds=from_rect(message.bounds),
        area_px=message.area_px,
        text_score=message.text_score,
        texture_score=message.texture_score,
        route=_word(plan_pb2.Route, message.route),
    )


def _planned_stage(message: plan_pb2.PlannedStage) -> plan.PlannedStage:
    return plan.PlannedStage(
        stage=_word(plan_pb2.Stage, message.stage),
        model=_planned_model(message.model) if message.HasField("model") else None,
        tiles_total=message.tiles_total,
        tiles_to_run=message.tiles_to_run,
        skipped_because=message.skipped_because,
        reason=message.reason,
    )


def _planned_model(message: plan_pb2.PlannedModel) -> plan.PlannedModel:
    return plan.PlannedModel(message.name, message.version, message.digest)


def _stage_report(message: edit_pb.StageReport) -> StageReport:
    return StageReport(
        stage=_word(plan_pb2.Stage, message.stage),
        seconds=message.seconds,
        tiles_run=message.tiles_run,
        tiles_cached=message.tiles_cached,
        tiles_skipped=message.tiles_skipped,
        tiles_retried=message.tiles_retried,
        seam_score=message.seam_score,
        borders_widened=message.borders_widened,
        model=_planned_model(message.model) if message.HasField("model") else None,
        tiles_fell_back=message.tiles_fell_back,
    )


def _gate(message: edit_pb.Gate) -> Gate:
    return Gate(
        criticality=_word(options_pb2.Criticality, message.criticality),
        asked=message.asked,
        chosen=_planned_model(message.chosen),
        method=message.method,
        allowed=tuple(message.allowed),
        policy_digest=message.policy_digest,
        reason=message.reason,
        tiles_fell_back=message.tiles_fell_back,
        fallback=_planned_model(message.fallback) if message.HasField("fallback") else None,
    )


def _word(enum: Any, value: int) -> str:
    """STAGE_TEXT_REMOVAL as `text_removal`; a value that a newer server made up as `unknown_7`."""
    descriptor = enum.DESCRIPTOR
    if value not in descriptor.values_by_number:
        return f"unknown_{value}"
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(descriptor.values_by_number[value].name.removeprefix(prefix)).lower()
