"""What the pictures look like, as far as the server can tell."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from k8s.monitoring.source.panels import NS, dashboard, lines, number, per_second, quantiles, warmth

VERSION = "model, version"


def build() -> Dashboard:
    now = [
        number(
            "Seams that show",
            "Share of the edits of the last hour with a seam score above 1.5, of the worst model.",
            f"max(retouch:seam_visible:ratio_rate1h{{{NS}}})",
            unit="percentunit",
            limits=(0.02, 0.05),
            decimals=1,
        ),
        number(
            "Text left",
            "Share of the edits of the last hour in which more than a fifth of the text is still found, of the worst model.",
            f"max(retouch:text_left:ratio_rate1h{{{NS}}})",
            unit="percentunit",
            limits=(0.1, 0.2),
            decimals=1,
        ),
        number(
            "Stale masks",
            "Share of the edits of the last 15 minutes that named a mask which is not the current one.",
            f"max(retouch:stale_masks_refused:ratio_rate15m{{{NS}}})",
            unit="percentunit",
            limits=(0.02, 0.05),
            decimals=1,
        ),
        number(
            "Upscalers that stray",
            "Share of the windows of the last hour that the fallback enlarged instead, of the worst model.",
            f"max(retouch:upscale_fallbacks:ratio_rate1h{{{NS}}})",
            unit="percentunit",
            limits=(0.05, 0.1),
            decimals=1,
        ),
        number(
            "Estimate : actual",
            "Median of the last hour. Below 1: edits took longer than was said.",
            f"min(retouch:estimate_ratio:p50_rate1h{{{NS}}})",
            limits=(0.85, 0.75),
            decimals=2,
        ),
        number(
            "Masks written",
            "Per second, of all outcomes.",
            f"sum(rate(retouch_mask_writes_total{{{NS}}}[$__rate_interval]))",
            unit="ops",
        ),
    ]
    seams = [
        lines(
            "Seam score",
            "The worst border of an edit: gradient across it over beside it. 1: no trace; a feathered overlap gives 1.1.",
            quantiles("retouch_seam_score", 0.5, 0.95, by=VERSION, legend="{{model}} v{{version}}"),
            width=12,
        ),
        lines(
            "Borders blended more widely",
            "Per second: the two sides disagreed by more than the blend hides.",
            [(per_second("retouch_borders_widened_total", by="stage, model"), "{{model}}")],
            unit="ops",
            width=6,
        ),
        warmth("Edits by seam score", "All models.", "retouch_seam_score", width=6),
    ]
    text = [
        lines(
            "Residual text score",
            "Share of the overlay text that the detector still finds in the result.",
            quantiles("retouch_residual_text_score", 0.5, 0.95, by=VERSION, legend="{{model}} v{{version}}"),
            unit="percentunit",
            width=12,
            top=1,
        ),
        warmth("Edits by residual text", "All models.", "retouch_residual_text_score", width=12),
    ]
    masks = [
        lines(
            "Stale masks refused",
            "Edits per second that named a mask which is not the current one.",
            [(f"sum(rate(retouch_stale_masks_refused_total{{{NS}}}[$__rate_interval]))", "refused")],
            unit="ops",
        ),
        lines(
            "Masks written",
            "By outcome. Conflict: another write came first.",
            [(per_second("retouch_mask_writes_total", by="outcome"), "{{outcome}}")],
            unit="ops",
            is_stacked=True,
        ),
        lines(
            "Windows that fell back",
            "Per second: a creative upscaler strayed from its input.",
            [(per_second("retouch_upscale_fallbacks_total", by="model"), "{{model}}")],
            unit="ops",
        ),
    ]
    estimates = [
        lines(
            "Estimated over actual seconds",
            "Of done edits. Below 2/3 an edit is late by the objective; far above 1 deadlines are refused that could be met.",
            quantiles("retouch_estimate_ratio", 0.1, 0.5, 0.9),
            width=12,
        ),
        warmth(
            "Edits by estimate : actual", "Cached results make edits faster than estimated.", "retouch_estimate_ratio", width=12
        ),
    ]
    return dashboard(
        "quality",
        "Quality",
        "Seams, text that is left, stale masks, upscalers that stray, and what estimates are worth.",
        {"Now": now, "Seams": seams, "Text": text, "Masks and upscalers": masks, "Estimates": estimates},
    )
