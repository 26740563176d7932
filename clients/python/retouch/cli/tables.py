"""Plans and reports for people."""

from collections.abc import Sequence

from rich.table import Table

import retouch
from retouch.profiling.run import Score


def plan_table(plan: retouch.Plan, estimate: retouch.Estimate) -> Table:
    """The stages of a plan, run or skipped."""
    table = _table("stage", "model", "tiles", "estimate", "why")
    for stage in plan.stages:
        seconds = estimate.stages_s.get(stage.stage)
        tiles = f"{stage.tiles_to_run} of {stage.tiles_total}" if stage.model else "-"
        table.add_row(
            stage.stage.replace("_", " "),
            model_name(stage.model) if stage.model else "skipped",
            tiles,
            f"{seconds:.1f} s" if seconds is not None and stage.model else "-",
            stage.skipped_because or stage.reason,
        )
    return table


def regions_table(regions: Sequence[retouch.Region]) -> Table:
    """The regions of a mask and what happens to them."""
    table = _table("region", "px", "text", "texture", "route")
    for region in regions:
        scores = f"{region.text_score:.2f}", f"{region.texture_score:.2f}"
        table.add_row(str(region.bounds), str(region.area_px), *scores, region.route.replace("_", " "))
    return table


def report_table(done: retouch.Done) -> Table:
    """What became of the stages that ran."""
    table = _table("stage", "model", "run", "cached", "skipped", "retried", "seconds", "seam")
    for stage in done.stages:
        counts = (stage.tiles_run, stage.tiles_cached, stage.tiles_skipped, stage.tiles_retried)
        table.add_row(
            stage.stage.replace("_", " "),
            model_name(stage.model) if stage.model else "-",
            *map(str, counts),
            f"{stage.seconds:.2f}",
            score(stage.seam_score),
        )
    return table


def gate_line(gate: retouch.Gate) -> str:
    """What the gate decided, by which table, and where another upscaler took over."""
    table = f"policy {gate.policy_digest[:12]}" if gate.policy_digest else "the built-in policy"
    line = f"gate: {model_name(gate.chosen)} by {table}, {gate.reason}"
    if gate.fallback is not None:
        line += f": {gate.tiles_fell_back} windows fell back to {model_name(gate.fallback)}"
    return line


def models_table(models: Sequence[retouch.Model]) -> Table:
    """The models of a service."""
    table = _table("model", "kind", "method", "scale", "window", "halo", "versions", "digest", "state")
    for model in models:
        table.add_row(
            model.name,
            model.kind.replace("_", " "),
            model.method or "-",
            f"x{model.scale}",
            str(model.window_px),
            str(model.halo_px),
            ", ".join(model.versions) or "-",
            model.digest[:12] or "-",
            "ready" if model.is_ready else f"not ready: {model.reason}",
        )
    return table


def profile_table(scores: Sequence[Score]) -> Table:
    """Candidates beside one another, by task and label."""
    table = _table("task", "label", "candidate", "pairs", "PSNR dB", "SSIM", "LPIPS", "s/MP")
    for each in scores:
        table.add_row(
            each.candidate.kind + (f" x{each.candidate.scale}" if each.candidate.kind == "upscale" else ""),
            each.label,
            each.candidate.name,
            str(each.pairs),
            f"{each.psnr_db:.2f}",
            f"{each.ssim:.4f}",
            "-" if each.lpips is None else f"{each.lpips:.3f}",
            f"{each.seconds_per_mp:.2f}",
        )
    return table


def model_name(model: retouch.PlannedModel) -> str:
    """Name and version, where it has one."""
    return f"{model.name} v{model.version}" if model.version else model.name


def score(value: float) -> str:
    """A seam score; 0 says that there was no border to judge."""
    return f"{value:.2f}" if value else "-"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    return table
