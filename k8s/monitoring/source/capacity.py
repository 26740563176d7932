"""Whether there is enough of everything, and what autoscaling goes by."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from k8s.monitoring.source.panels import NS, RATE, dashboard, lines, number, per_second

ORCHESTRATOR = f'{NS}, job="retouch-orchestrator"'


def build() -> Dashboard:
    now = [
        number(
            "Budget in use",
            "Pixels in flight over those that may be, of all orchestrators.",
            f"sum(retouch_in_flight_pixels{{{NS}}}) / sum(retouch_in_flight_pixels_budget{{{NS}}})",
            unit="percentunit",
            limits=(0.8, 0.95),
            decimals=0,
        ),
        number(
            "Pixels that wait",
            "Over the budget of all orchestrators.",
            f"max(retouch:queued_pixels:ratio{{{NS}}})",
            unit="percentunit",
            limits=(0.25, 0.5),
            decimals=0,
        ),
        number("Edits that wait", "For admission, on all orchestrators.", f"sum(retouch_edits_queued{{{NS}}})", limits=(8, 32)),
        number(
            "Refused for load",
            "Edits in the last 5 minutes.",
            f'sum(increase(retouch_edits_total{{{NS}, reason="OVERLOADED"}}[5m]))',
            limits=(1, 10),
            decimals=0,
        ),
        number(
            "Results known",
            "Share of the calls of deterministic models whose result was kept from before.",
            f'sum(rate(retouch_cached_results_total{{{NS}, outcome="hit"}}{RATE}))'
            f" / sum(rate(retouch_cached_results_total{{{NS}}}{RATE}))",
            unit="percentunit",
            decimals=0,
        ),
        number("Windows at Triton", "Pending there, all models.", f"sum(nv_inference_pending_request_count{{{NS}}})"),
    ]
    admission = [
        lines(
            "Pixels in flight",
            "Against what may be, by orchestrator.",
            [
                (f"sum by (pod) (retouch_in_flight_pixels{{{NS}}})", "{{pod}}"),
                (f"max(retouch_in_flight_pixels_budget{{{NS}}})", "budget of each"),
            ],
        ),
        lines(
            "Pixels that wait",
            "By orchestrator. The autoscaler follows their sum.",
            [(f"sum by (pod) (retouch_queued_pixels{{{NS}}})", "{{pod}}")],
            is_stacked=True,
        ),
        lines(
            "Refused for load",
            "OVERLOADED: the queue was full; CLIENT_BUDGET: this client has its share; DEADLINE_TOO_SHORT: it would be late.",
            [
                (
                    per_second(
                        "retouch_edits_total",
                        by="reason",
                        selector=f'{NS}, reason=~"OVERLOADED|CLIENT_BUDGET|DEADLINE_TOO_SHORT|DRAINING"',
                    ),
                    "{{reason}}",
                )
            ],
            unit="ops",
        ),
    ]
    results = [
        lines(
            "Results known, by model",
            "Share of the calls.",
            [
                (
                    per_second("retouch_cached_results_total", by="model", selector=f'{NS}, outcome="hit"')
                    + f" / {per_second('retouch_cached_results_total', by='model')}",
                    "{{model}}",
                )
            ],
            unit="percentunit",
            top=1,
        ),
        lines(
            "Results kept in memory",
            "By orchestrator; 0 where they are kept in Redis.",
            [(f"sum by (pod) (retouch_result_cache_bytes{{{NS}}})", "{{pod}}")],
            unit="bytes",
        ),
        lines(
            "The store of results fails",
            "Reads and writes per second; each costs a computation, never an edit.",
            [(per_second("retouch_result_cache_failures_total", by="operation"), "{{operation}}")],
            unit="ops",
        ),
    ]
    orchestrators = [
        lines(
            "Processor",
            "CPUs that each orchestrator uses.",
            [(f"sum by (pod) (rate(process_cpu_seconds_total{{{ORCHESTRATOR}}}{RATE}))", "{{pod}}")],
        ),
        lines(
            "Memory",
            "Resident, by orchestrator: O(width) for an edit, never O(image).",
            [(f"sum by (pod) (process_resident_memory_bytes{{{ORCHESTRATOR}}})", "{{pod}}")],
            unit="bytes",
        ),
        lines(
            "Shared memory slots",
            "That there are, and that hold a call; 0 where Triton is on other hosts.",
            [
                (f"sum(retouch_shared_memory_slots{{{NS}}})", "there are"),
                (f"sum(retouch_shared_memory_slots_in_use{{{NS}}})", "in use"),
            ],
        ),
    ]
    replicas = [
        lines("Replicas", "That Prometheus reaches.", [(f"sum by (job) (up{{{NS}}})", "{{job}}")], width=12, height=6),
        lines(
            "Windows that wait",
            "At Triton, by pool; and in orchestrators that have a number of slots (RETOUCH_MODEL_SLOTS), as on one machine.",
            [
                (f"sum by (pool) (nv_inference_pending_request_count{{{NS}}})", "{{pool}}"),
                (f"sum(retouch_windows_waiting{{{NS}}})", "for a slot"),
            ],
            width=12,
            height=6,
        ),
    ]
    return dashboard(
        "capacity",
        "Capacity",
        "Admission, results that are kept, and the orchestrators' own needs; what autoscaling goes by.",
        {"Now": now, "Admission": admission, "Results": results, "Orchestrators": orchestrators, "Replicas": replicas},
    )
