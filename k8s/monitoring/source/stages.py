"""One edit's path: the precheck, then text removal, inpaint and upscale."""

from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard

from k8s.monitoring.source.panels import NS, RATE, bars, dashboard, lines, per_second, quantiles

LOOKS = f'{NS}, model=~"precheck|text_detect"'
STAGES = ("text_removal", "inpaint", "upscale")


def build() -> Dashboard:
    whole = [
        bars(
            "Where the time of an edit goes",
            "Mean seconds of each stage for an edit that was done. Stages overlap: their sum may exceed the edit.",
            [
                (
                    f"sum by (stage) (rate(retouch_stage_seconds_sum{{{NS}}}{RATE}))"
                    f' / on() group_left() sum(rate(retouch_edit_seconds_count{{{NS}, outcome="done"}}{RATE}))',
                    "{{stage}}",
                )
            ],
            unit="s",
            width=8,
        ),
        lines(
            "Windows by stage",
            "Of all models, per second; skipped ones are not counted.",
            [(per_second("retouch_tiles_total", by="stage", selector=f'{NS}, outcome!="skipped"'), "{{stage}}")],
            unit="ops",
        ),
        lines(
            "Seconds of a call, by model",
            "One call of a model with its transport, and the wait at Triton.",
            quantiles("retouch_model_call_seconds", 0.95, by="model", legend="{{model}}"),
            unit="s",
            exemplars=True,
        ),
    ]
    precheck = [
        lines(
            "Stages that the precheck runs",
            "Share of the edits that got each stage; the rest skipped it.",
            [
                (
                    per_second("retouch_precheck_decisions_total", by="stage", selector=f'{NS}, decision="run"')
                    + f" / {per_second('retouch_precheck_decisions_total', by='stage')}",
                    "{{stage}}",
                )
            ],
            unit="percentunit",
            top=1,
        ),
        lines(
            "Regions by route",
            "What the precheck chose for each masked region.",
            [(per_second("retouch_precheck_regions_total", by="route"), "{{route}}")],
            unit="ops",
            is_stacked=True,
        ),
        lines(
            "Seconds of the precheck's models",
            "Mean of a request at Triton, its wait included.",
            [
                (
                    per_second("nv_inference_request_duration_us", by="model", selector=LOOKS)
                    + f" / 1e6 / {per_second('nv_inference_request_success', by='model', selector=LOOKS)}",
                    "{{model}}",
                )
            ],
            unit="s",
        ),
    ]
    gate = [
        lines(
            "Upscalers that the gate chose",
            "By criticality and method, prechecks included.",
            [(per_second("retouch_gate_decisions_total", by="criticality, method"), "{{criticality}}: {{method}}")],
            unit="ops",
            width=12,
            height=6,
            is_stacked=True,
        ),
        lines(
            "Upscalers that the gate refused",
            "Asked for by name, and more inventive than the criticality bears.",
            [(per_second("retouch_gate_refusals_total", by="criticality"), "{{criticality}}")],
            unit="ops",
            width=12,
            height=6,
        ),
    ]
    rows = {"The whole path": whole, "Precheck": precheck, **{_title(stage): _stage(stage) for stage in STAGES}, "Gate": gate}
    return dashboard(
        "stages", "Stages", "One edit's path through the stages: seconds, and windows by what became of them.", rows
    )


def _title(stage: str) -> str:
    return stage.replace("_", " ").capitalize()


def _stage(stage: str) -> list[Any]:
    selector = f'{NS}, stage="{stage}"'
    return [
        lines(
            f"{_title(stage)}: seconds",
            "From the stage's first window to its last, in one edit.",
            quantiles("retouch_stage_seconds", 0.5, 0.95, selector=selector),
            unit="s",
            exemplars=True,
        ),
        lines(
            f"{_title(stage)}: windows by outcome",
            "Run: computed; cached: known from before; skipped: nothing to do; retried: called again.",
            [(per_second("retouch_tiles_total", by="outcome", selector=selector), "{{outcome}}")],
            unit="ops",
            is_stacked=True,
        ),
        lines(
            f"{_title(stage)}: windows by model",
            "Which models do the work.",
            [(per_second("retouch_tiles_total", by="model", selector=f'{selector}, outcome=~"run|cached"'), "{{model}}")],
            unit="ops",
            is_stacked=True,
        ),
    ]
