"""The service at a glance: are the objectives met, how much is going on, how long does it take."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from k8s.monitoring.source.panels import NS, RATE, dashboard, lines, number, per_second, quantiles, warmth

FAILED, LATE = "retouch:edits_failed:ratio_rate", "retouch:edits_late:ratio_rate"
DONE = f'{NS}, outcome="done"'


def build() -> Dashboard:
    objectives = [
        number(
            "Edits that succeed",
            "Of those that could, in the last hour. The objective is 99.5 %; what callers did wrong does not count.",
            f"1 - max({FAILED}1h{{{NS}}})",
            unit="percentunit",
            limits=(0.995, 0.99),
            decimals=2,
        ),
        number(
            "Edits in time",
            "Done within 1.5 × their estimate, in the last hour. The objective is 95 %.",
            f"1 - max({LATE}1h{{{NS}}})",
            unit="percentunit",
            limits=(0.95, 0.9),
            decimals=1,
        ),
        number(
            "Alerts",
            "Those of Retouch that fire.",
            'sum(ALERTS{alertname=~"Retouch.*", alertstate="firing"}) or vector(0)',
            limits=(1, 2),
        ),
        number("Edits in flight", "Admitted and not ended, on all orchestrators.", f"sum(retouch_edits_in_flight{{{NS}}})"),
        number("Orchestrators", "That Prometheus reaches.", f'sum(up{{{NS}, job="retouch-orchestrator"}})', limits=(2, 1)),
        number("Triton servers", "That Prometheus reaches.", f'sum(up{{{NS}, job="retouch-triton"}})', limits=(2, 1)),
        lines(
            "Failing: how fast the budget burns",
            "1: the budget of 30 days lasts 30 days. 14.4 over an hour, or 6 over six hours, wakes somebody.",
            [(f"max({FAILED}{window}{{{NS}}}) / 0.005", window) for window in ("5m", "1h", "6h", "3d")],
            width=12,
        ),
        lines(
            "Late: how fast the budget burns",
            "1: the budget of 30 days lasts 30 days. 14.4 over an hour, or 6 over six hours, wakes somebody.",
            [(f"max({LATE}{window}{{{NS}}}) / 0.05", window) for window in ("5m", "1h", "6h", "3d")],
            width=12,
        ),
    ]
    traffic = [
        lines(
            "Edits by outcome",
            "Edits that ended, per second. Refused: by the caller's fault or for load; failed: by ours.",
            [(per_second("retouch_edits_total", by="outcome"), "{{outcome}}")],
            unit="reqps",
            is_stacked=True,
        ),
        lines(
            "Why edits did not succeed",
            "By the reason in their ErrorInfo. docs/monitoring.md says which of them are ours.",
            [(per_second("retouch_edits_total", by="reason", selector=f'{NS}, outcome!="done"') + " > 0", "{{reason}}")],
            unit="reqps",
            is_stacked=True,
        ),
        lines(
            "Pixels and masks on the wire",
            "Bytes from and to clients, per second.",
            [(f"sum(rate(retouch_{way}_bytes_total{{{NS}}}{RATE}))", way) for way in ("received", "sent")],
            unit="Bps",
        ),
    ]
    time = [
        lines(
            "Seconds of an edit",
            "From the opening message to the end, of edits that were done, the wait for admission included.",
            quantiles("retouch_edit_seconds", 0.5, 0.95, 0.99, selector=DONE),
            unit="s",
            exemplars=True,
        ),
        lines(
            "Seconds to the first tile",
            "From the opening message to the first tile of the result.",
            quantiles("retouch_first_tile_seconds", 0.5, 0.95),
            unit="s",
            exemplars=True,
        ),
        warmth("Edits by seconds", "Done edits; how they are spread.", "retouch_edit_seconds", DONE, unit="s"),
    ]
    builds = [
        lines(
            "What runs",
            "Orchestrators by build: two at once only while a new one is rolled out.",
            [(f"count by (version, revision) (retouch_build_info{{{NS}}})", "{{version}} {{revision}}")],
            width=12,
            height=6,
        ),
        lines(
            "Edits that wait, and in flight",
            "All orchestrators.",
            [(f"sum(retouch_edits_queued{{{NS}}})", "wait"), (f"sum(retouch_edits_in_flight{{{NS}}})", "in flight")],
            width=12,
            height=6,
        ),
    ]
    return dashboard(
        "overview",
        "Overview",
        "Whether the objectives are met, how much is going on, and how long it takes.",
        {"Objectives": objectives, "Traffic": traffic, "Time": time, "Replicas": builds},
    )
