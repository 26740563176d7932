"""Every Prometheus series of the server. The only module that imports prometheus_client.

Base units, prefix `retouch_`, labels of few values: stages, outcomes, status codes, names and versions of the models
that are served. Never an edit id, an image id or a client. Triton's own `nv_inference_*` stand beside these.
"""

from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder

prometheus_client.disable_created_metrics()

STAGES: Final = ("text_removal", "inpaint", "upscale")
EDIT_OUTCOMES: Final = ("done", "refused", "failed", "cancelled")
TILE_OUTCOMES: Final = ("run", "cached", "skipped", "retried", "failed")
DECISIONS: Final = ("run", "skip")
ROUTES: Final = ("skip", "text_removal", "inpaint", "inpaint_proxy", "text_removal_then_inpaint")
CRITICALITIES: Final = ("low", "standard", "commerce")
CACHE_OPERATIONS: Final = ("get", "put")
MASK_WRITE_OUTCOMES: Final = ("created", "unchanged", "conflict", "refused")

_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_EDIT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_LATE = 2 / 3
"""An edit at or below this ratio of estimate to actual time took 1.5 × its estimate or longer: an objective counts those."""
_RATIOS = (0.1, 0.25, 0.5, _LATE, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)
_SEAM_SCORES = (0.5, 0.75, 0.9, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0, 5.0)
_TEXT_SCORES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


class Metrics:
    """All series, registered with one registry. Every method of the series is safe from any thread and never blocks."""

    def __init__(self, registry: CollectorRegistry | None = None, *, version: str = "", revision: str = "") -> None:
        """Registers with `registry`, or with a fresh one. `version` and `revision` are those of the build."""
        self.registry = registry = registry or CollectorRegistry()

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"retouch_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(f"retouch_{name}", help_text, registry=registry)

        def histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"retouch_{name}", help_text, labels, buckets=buckets, registry=registry)

        self.edits = counter(
            "edits_total", "Edits that ended; the reason is that of their ErrorInfo.", "outcome", "code", "reason"
        )
        self.edits_in_flight = gauge("edits_in_flight", "Edits admitted and not ended.")
        self.edits_queued = gauge("edits_queued", "Edits that wait for admission.")
        self.queued_pixels = gauge("queued_pixels", "Pixels of the edits that wait for admission.")
        self.in_flight_pixels = gauge("in_flight_pixels", "Pixels of the edits in flight.")
        self.in_flight_pixels_budget = gauge("in_flight_pixels_budget", "Pixels that may be in flight at once.")
        self.edit_seconds = histogram(
            "edit_seconds", "From the opening message to the end of an edit.", _EDIT_SECONDS, "outcome"
        )
        self.first_tile_seconds = histogram(
            "first_tile_seconds", "From the opening message to the first output tile.", _EDIT_SECONDS
        )
        self.stage_seconds = histogram("stage_seconds", "From a stage's first window to its last.", _EDIT_SECONDS, "stage")
        self.estimate_ratio = histogram(
            "estimate_ratio",
            "Estimated over actual seconds of finished edits; at most 2/3: 1.5 × the estimate or longer.",
            _RATIOS,
        )

        self.tiles = counter("tiles_total", "Windows by what became of them.", "stage", "model", "outcome")
        self.windows_waiting = gauge("windows_waiting", "Windows that wait until fewer are at the models.")
        self.model_call_seconds = histogram(
            "model_call_seconds", "One call of a model, with its transport.", _CALL_SECONDS, "model"
        )
        self.cached_results = counter(
            "cached_results_total", "Calls of deterministic models by whether their result was known.", "model", "outcome"
        )
        self.result_cache_bytes = gauge("result_cache_bytes", "Bytes of results held in this process.")
        self.result_cache_failures = counter(
            "result_cache_failures_total", "Reads and writes that the store of results failed at.", "operation"
        )
        self.triton_reachable = gauge("triton_reachable", "Whether Triton answers: 1 or 0.")
        self.shared_memory_slots = gauge("shared_memory_slots", "Shared memory slots there are.")
        self.shared_memory_slots_in_use = gauge("shared_memory_slots_in_use", "Shared memory slots that hold a call.")

        self.precheck_decisions = counter(
            "precheck_decisions_total", "Stages that the precheck decided on.", "stage", "decision"
        )
        self.precheck_regions = counter("precheck_regions_total", "Masked regions by the route chosen.", "route")
        self.gate_decisions = counter(
            "gate_decisions_total", "Upscalers that the gate chose, for prechecks too.", "criticality", "method"
        )
        self.gate_refusals = counter("gate_refusals_total", "Upscalers that the gate refused.", "criticality")
        self.upscale_fallbacks = counter(
            "upscale_fallbacks_total", "Windows in which an upscaler strayed from its input and another took over.", "model"
        )

        self.stale_masks_refused = counter("stale_masks_refused_total", "Edits refused since their mask had changed.")
        self.mask_writes = counter("mask_writes_total", "Attempts to write a mask.", "outcome")

        quality = ("stage", "model", "version")
        self.seam_score = histogram(
            "seam_score", "Gradient across window borders over beside them; 1 = no trace.", _SEAM_SCORES, *quality
        )
        self.borders_widened = counter(
            "borders_widened_total", "Window borders blended more widely, since their sides disagreed.", "stage", "model"
        )
        self.residual_text_score = histogram(
            "residual_text_score", "Share of the overlay text that is still found.", _TEXT_SCORES, *quality
        )

        self.received_bytes = counter("received_bytes_total", "Bytes of pixels and masks received from clients.")
        self.sent_bytes = counter("sent_bytes_total", "Bytes of pixels and masks sent to clients.")

        build = Info("retouch_build", "The build that runs.", registry=registry)
        build.info({"version": version, "revision": revision})
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.PlatformCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)
        self._start_at_zero()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All series as (body, content type): OpenMetrics when the Accept header asks for it, else the text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def expect(self, stage: str, model: str) -> None:
        """The counters of a stage and its model begin at 0: the first window of a kind must be an increase, too."""
        for outcome in TILE_OUTCOMES:
            self.tiles.labels(stage=stage, model=model, outcome=outcome)
        self.borders_widened.labels(stage=stage, model=model)
        if stage == "upscale":
            self.upscale_fallbacks.labels(model=model)

    def _start_at_zero(self) -> None:
        """Series that can be named now begin at 0, so that a rate over the first event is right."""
        self.edits.labels(outcome="done", code="OK", reason="OK")
        self.edits.labels(outcome="cancelled", code="CANCELLED", reason="CANCELLED")
        for outcome in EDIT_OUTCOMES:
            self.edit_seconds.labels(outcome=outcome)
        for outcome in MASK_WRITE_OUTCOMES:
            self.mask_writes.labels(outcome=outcome)
        for operation in CACHE_OPERATIONS:
            self.result_cache_failures.labels(operation=operation)
        for route in ROUTES:
            self.precheck_regions.labels(route=route)
        for criticality in CRITICALITIES:
            self.gate_refusals.labels(criticality=criticality)
        for stage in STAGES:
            self.stage_seconds.labels(stage=stage)
            for decision in DECISIONS:
                self.precheck_decisions.labels(stage=stage, decision=decision)
