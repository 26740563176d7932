"""The manifests' settings are those that the capacity model recommends, and the model's those of the manifests."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.capacity import load
from benchmarks.capacity.fleet import CORES, NODE_GRACE_S, Fleet
from benchmarks.capacity.recommended import PATH, scalers
from benchmarks.capacity.scaling import SYNC_S
from retouch_server.config import Settings

K8S = Path(__file__).parents[2] / "k8s"
RECOMMENDED: dict[str, Any] = json.loads(PATH.read_text())
BASE = dict(line.split("=", 1) for line in (K8S / "base/settings.env").read_text().splitlines() if line.startswith("RETOUCH_"))


def documents(path: str) -> dict[str, Any]:
    """Name → document of a YAML file."""
    return {each["metadata"]["name"]: each for each in yaml.safe_load_all((K8S / path).read_text())}


SCALED_OBJECTS = documents("components/keda/scaledobjects.yaml")
AUTOSCALERS = documents("components/hpa/hpa.yaml")


def test_each_deployment_has_a_scaler() -> None:
    assert set(SCALED_OBJECTS) == set(AUTOSCALERS) == set(RECOMMENDED["scalers"])


@pytest.mark.parametrize("name", RECOMMENDED["scalers"])
def test_keda_scales_as_recommended(name: str) -> None:
    spec, wanted = SCALED_OBJECTS[name]["spec"], RECOMMENDED["scalers"][name]
    assert spec["minReplicaCount"] == wanted["minReplicaCount"]
    assert spec["maxReplicaCount"] == wanted["maxReplicaCount"]
    assert _without_defaults(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]) == _without_defaults(
        wanted["behavior"]
    )
    assert {each["name"]: float(each["metadata"]["threshold"]) for each in spec["triggers"]} == wanted["thresholds"]
    assert {each["metricType"] for each in spec["triggers"]} == {"AverageValue"}


@pytest.mark.parametrize("name", RECOMMENDED["scalers"])
def test_the_plain_autoscaler_does_the_same(name: str) -> None:
    spec, wanted = AUTOSCALERS[name]["spec"], RECOMMENDED["scalers"][name]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (wanted["minReplicaCount"], wanted["maxReplicaCount"])
    assert _without_defaults(spec["behavior"]) == _without_defaults(wanted["behavior"])
    targets = {
        each["external"]["metric"]["name"]: float(each["external"]["target"]["averageValue"]) for each in spec["metrics"]
    }
    assert {metric.split("_")[1 if name == "orchestrator" else 2]: value for metric, value in targets.items()} == wanted[
        "thresholds"
    ]


def test_the_model_reckons_with_the_manifests() -> None:
    """Threads, budgets, queues, windows in flight and tolerations."""
    fleet, settings = Fleet({}), Settings()
    assert float(BASE["RETOUCH_BUDGET_PX"]) == fleet.budget_px == RECOMMENDED["RETOUCH_BUDGET_PX"]
    assert float(BASE["RETOUCH_THREADS"]) == CORES
    assert float(BASE["RETOUCH_CONNECTION_AGE_S"]) / 2 == fleet.found_s[0]
    assert int(BASE.get("RETOUCH_QUEUE", settings.queue)) == fleet.queue
    assert int(BASE.get("RETOUCH_TILES_IN_FLIGHT", settings.tiles_in_flight)) == load.IN_FLIGHT
    for path in ("base/orchestrator.yaml", "base/pools/triton/triton.yaml"):
        (deployment,) = [each for each in yaml.safe_load_all((K8S / path).read_text()) if each["kind"] == "Deployment"]
        pod = deployment["spec"]["template"]["spec"]
        tolerated = {each["key"].rpartition("/")[2]: each["tolerationSeconds"] for each in pod["tolerations"]}
        assert tolerated == dict.fromkeys(("unreachable", "not-ready"), RECOMMENDED["tolerationSeconds"])
        assert fleet.unnoticed_s == NODE_GRACE_S + RECOMMENDED["tolerationSeconds"]
        assert {constraint["topologyKey"] for constraint in pod["topologySpreadConstraints"]} >= {"topology.kubernetes.io/zone"}


def test_models_have_as_many_instances_as_pods_have_cores() -> None:
    for config in (K8S.parent / "model_repository").glob("*/config.pbtxt"):
        text = config.read_text()
        assert "KIND_CPU" not in text or f"count: {CORES:g} " in text or config.parent.name == "precheck", config


def test_the_recommendation_is_what_the_model_wrote() -> None:
    """The file has nothing but what `recommended.scalers` makes: nobody edited it."""
    from benchmarks.capacity.scaling import Settings as Scaling

    triggers = RECOMMENDED["scalers"]["triton-restore"]["thresholds"]
    orchestrator = RECOMMENDED["scalers"]["orchestrator"]
    down = orchestrator["behavior"]["scaleDown"]
    settings = Scaling(
        orchestrator_mp=orchestrator["thresholds"]["work"] / 1e6,
        pending=triggers["pending"],
        busy=triggers["busy"],
        least=orchestrator["minReplicaCount"],
        up_percent=orchestrator["behavior"]["scaleUp"]["policies"][0]["value"],
        down_percent=down["policies"][0]["value"],
        stabilise_down_s=down["stabilizationWindowSeconds"],
    )
    assert scalers(settings) == RECOMMENDED["scalers"]
    assert orchestrator["behavior"]["scaleUp"]["policies"][0]["periodSeconds"] == SYNC_S


def _without_defaults(behavior: dict[str, Any]) -> dict[str, Any]:
    """selectPolicy is Max unless it is said."""
    return {way: {"selectPolicy": "Max", **rules} for way, rules in behavior.items()}
