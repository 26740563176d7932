"""The declarations of the series: names, units, labels, exposition."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from retouch_server.telemetry.metrics import Metrics

BOUNDED_LABELS = {
    "outcome",
    "code",
    "reason",
    "stage",
    "model",
    "version",
    "decision",
    "route",
    "operation",
    "revision",
    "criticality",
    "method",
    "le",
    # of the Python collectors
    "generation",
    "implementation",
    "major",
    "minor",
    "patchlevel",
}


def touched() -> Metrics:
    metrics = Metrics(version="1.2.3", revision="abc")
    metrics.tiles.labels(stage="inpaint", model="inpaint_patch", outcome="run").inc()
    metrics.model_call_seconds.labels(model="inpaint_patch").observe(0.2)
    metrics.borders_widened.labels(stage="inpaint", model="inpaint_patch").inc()
    metrics.gate_decisions.labels(criticality="low", method="creative").inc()
    metrics.upscale_fallbacks.labels(model="upscale_creative_x2").inc()
    metrics.cached_results.labels(model="inpaint_patch", outcome="hit").inc()
    metrics.seam_score.labels(stage="inpaint", model="inpaint_patch", version="1").observe(1.01)
    metrics.residual_text_score.labels(stage="text_removal", model="text_removal", version="1").observe(0.0)
    return metrics


def test_names_and_labels_follow_the_rules() -> None:
    body, _ = touched().exposition()
    for family in text_string_to_metric_families(body.decode()):
        assert family.name.startswith(("retouch_", "process_", "python_")), family.name
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|mb|percent)$", family.name)
        for sample in family.samples:
            assert set(sample.labels) <= BOUNDED_LABELS, sample
        if family.name.startswith("retouch_"):
            assert re.fullmatch(r"[A-Z].*\.", family.documentation), family.documentation


def test_every_series_is_exposed_and_none_tells_when_it_was_created() -> None:
    body = touched().exposition()[0].decode()
    for attribute in vars(touched()).values():
        if not isinstance(attribute, CollectorRegistry):
            name = attribute.describe()[0].name
            assert re.search(rf"^{name}(_total|_bucket|_info)?(\{{| )", body, re.MULTILINE), name
    assert "_created" not in body
    assert 'retouch_build_info{revision="abc",version="1.2.3"} 1.0' in body


def test_series_begin_at_zero() -> None:
    body = Metrics().exposition()[0].decode()
    assert 'retouch_edits_total{code="OK",outcome="done",reason="OK"} 0.0' in body
    assert 'retouch_mask_writes_total{outcome="conflict"} 0.0' in body
    assert 'retouch_precheck_decisions_total{decision="skip",stage="upscale"} 0.0' in body
    assert "retouch_stale_masks_refused_total 0.0" in body
    assert 'retouch_gate_refusals_total{criticality="commerce"} 0.0' in body


def test_each_has_a_registry_of_its_own() -> None:
    one, other = Metrics(), Metrics()
    one.stale_masks_refused.inc()
    assert "retouch_stale_masks_refused_total 1.0" in one.exposition()[0].decode()
    assert "retouch_stale_masks_refused_total 0.0" in other.exposition()[0].decode()
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(one.registry)


def test_open_metrics_when_asked() -> None:
    body, content_type = Metrics().exposition("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert Metrics().exposition("*/*")[1].startswith("text/plain")
