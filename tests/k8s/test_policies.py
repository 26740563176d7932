"""Policies hold for every base and overlay; and each refuses an object that breaks it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.k8s.policies import network, pods, scaling, wiring
from tests.k8s.rendering import (
    BUILDS,
    ROOT,
    Object,
    Objects,
    containers,
    find,
    of_kind,
    orchestrator,
    pod_of,
    product,
    render,
)

Policy = Callable[[Objects], Iterator[str]]

POLICIES: tuple[Policy, ...] = (*pods.POLICIES, *wiring.POLICIES, *network.POLICIES, *scaling.POLICIES)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_holds(policy: Policy, build: str) -> None:
    assert list(policy(render(build))) == []


def _container(objects: Objects, name: str = "triton-upscale") -> Object:
    return containers(find(objects, "Deployment", name))[0]


def _volume(objects: Objects, deployment: str, name: str) -> Object:
    return next(each for each in pod_of(find(objects, "Deployment", deployment))["volumes"] if each["name"] == name)["emptyDir"]


def _spec(objects: Objects, kind: str, name: str) -> Object:
    return find(objects, kind, name)["spec"]


def _trigger(objects: Objects, name: str, number: int = 0) -> Object:
    return _spec(objects, "ScaledObject", name)["triggers"][number]["metadata"]


def _behavior(objects: Objects) -> Object:
    return _spec(objects, "ScaledObject", "orchestrator")["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]


def _settings(objects: Objects) -> dict[str, str]:
    return find(objects, "ConfigMap", "orchestrator-settings")["data"]


def _without(objects: Objects, kind: str, name: str) -> None:
    objects.remove(find(objects, kind, name))


def _argument(objects: Objects, old: str, new: str) -> None:
    arguments = _container(objects)["args"]
    arguments[:] = [new if each == old else each for each in arguments]


def _replaced(place: Object, key: str, old: str, new: str) -> None:
    assert old in place[key]
    place[key] = place[key].replace(old, new)


BREAKS: dict[Policy, list[Callable[[Objects], Any]]] = {
    pods.restricted: [
        lambda o: _container(o)["securityContext"].update(readOnlyRootFilesystem=False),
        lambda o: _container(o)["securityContext"].update(capabilities={"drop": ["NET_RAW"]}),
        lambda o: _container(o)["securityContext"].pop("allowPrivilegeEscalation"),
        lambda o: pod_of(orchestrator(o))["securityContext"].pop("seccompProfile"),
        lambda o: pod_of(orchestrator(o))["securityContext"].update(runAsNonRoot=False),
        lambda o: pod_of(orchestrator(o))["securityContext"].update(runAsUser=0),
        lambda o: pod_of(orchestrator(o)).update(hostNetwork=True),
        lambda o: find(o, "Namespace", "retouch")["metadata"]["labels"].clear(),
    ],
    pods.resources: [
        lambda o: _container(o)["resources"]["requests"].pop("cpu"),
        lambda o: _container(o)["resources"]["requests"].pop("memory"),
        lambda o: _container(o)["resources"].pop("limits"),
    ],
    pods.probes: [
        lambda o: _container(o).pop("startupProbe"),
        lambda o: _container(o).pop("livenessProbe"),
        lambda o: _container(o)["readinessProbe"]["grpc"].update(port=8009),
        lambda o: _container(o, "orchestrator")["livenessProbe"]["httpGet"].update(port="http"),
    ],
    pods.health: [
        lambda o: _container(o).update(readinessProbe={"tcpSocket": {"port": 8001}}),
        lambda o: _container(o, "orchestrator").update(livenessProbe={"grpc": {"port": 8300}}),
    ],
    pods.images: [
        lambda o: _container(o).update(image="retouch/triton"),
        lambda o: _container(o).update(image="retouch/triton:latest"),
        lambda o: _container(o).update(image="registry:5000/retouch/triton"),
    ],
    pods.identity: [
        lambda o: pod_of(orchestrator(o)).pop("enableServiceLinks"),
        lambda o: pod_of(orchestrator(o)).update(automountServiceAccountToken=True),
        lambda o: find(o, "ServiceAccount", "triton-upscale").pop("automountServiceAccountToken"),
        lambda o: pod_of(orchestrator(o)).pop("serviceAccountName"),
    ],
    pods.grace: [
        lambda o: pod_of(orchestrator(o)).update(terminationGracePeriodSeconds=605),
        lambda o: _settings(o).update(RETOUCH_DRAIN_S="900"),
        lambda o: _container(o).pop("lifecycle"),
        lambda o: _argument(o, "--exit-timeout-secs=120", "--exit-timeout-secs=600"),
    ],
    pods.spread: [
        lambda o: pod_of(orchestrator(o)).pop("topologySpreadConstraints"),
        lambda o: pod_of(orchestrator(o))["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(x="y"),
        lambda o: pod_of(orchestrator(o)).pop("tolerations"),
    ],
    pods.disruption: [
        lambda o: _without(o, "PodDisruptionBudget", "triton-upscale"),
        lambda o: _spec(o, "PodDisruptionBudget", "orchestrator")["selector"]["matchLabels"].update(x="y"),
        lambda o: _spec(o, "PodDisruptionBudget", "orchestrator").update(maxUnavailable=0),
    ],
    pods.scratch: [
        lambda o: _volume(o, "orchestrator", "tmp").update(sizeLimit="1Gi"),
        lambda o: _container(o, "orchestrator")["resources"]["limits"].pop("ephemeral-storage"),
    ],
    pods.shared_memory: [
        lambda o: _volume(o, "triton-restore", "shm").update(sizeLimit="64Mi"),
        lambda o: _volume(o, "triton-restore", "shm").pop("medium"),
        lambda o: _container(o)["volumeMounts"].pop(),
    ],
    wiring.services: [
        lambda o: _spec(o, "Service", "orchestrator")["selector"].update(x="y"),
        lambda o: _spec(o, "Service", "orchestrator")["ports"][0].update(targetPort="http"),
        lambda o: _spec(o, "Service", "triton-upscale")["selector"].pop("retouch/pool"),
    ],
    wiring.balancing: [lambda o: _spec(o, "Service", "triton-upscale").pop("clusterIP")],
    wiring.settings: [
        lambda o: _settings(o).update(RETOUCH_TILES="4"),
        lambda o: _settings(o).update(RETOUCH_THREADS="two"),
        lambda o: _settings(o).update(OMP_NUM_THREADS="1"),
        lambda o: _settings(o).update(RETOUCH_TRITON_URLS="triton-restore:8001,triton-upscaler:8001"),
        lambda o: _settings(o).update(RETOUCH_TRITON_URLS="triton-restore:8003"),
        lambda o: _settings(o).update(RETOUCH_TOKENS_FILE="/run/tokens"),
        lambda o: find(o, "ConfigMap", "orchestrator-policy")["data"].update({"policy.toml": "[upscale.best]\n"}),
        lambda o: _container(o, "orchestrator")["env"].append({"name": "RETOUCH_PORT", "value": "tcp://10.0.0.1:8300"}),
    ],
    wiring.references: [
        lambda o: _without(o, "ConfigMap", "orchestrator-policy"),
        lambda o: _container(o, "orchestrator")["env"][0]["valueFrom"]["secretKeyRef"].update(name="stores"),
        lambda o: _container(o)["volumeMounts"].pop(),
    ],
    wiring.models: [
        lambda o: _container(o)["args"].append("--load-model=precheck"),
        lambda o: _container(o)["args"].append("--load-model=upscale_x16"),
        lambda o: _argument(o, "--load-model=upscale_creative_x4", "--log-verbose=0"),
    ],
    wiring.routes: [
        lambda o: _spec(o, "GRPCRoute", "retouch")["rules"][0]["matches"].pop(),
        lambda o: _spec(o, "GRPCRoute", "retouch")["rules"][0]["backendRefs"][0].update(port=8301),
        lambda o: _spec(o, "Gateway", "retouch")["listeners"][0].update(protocol="HTTP"),
    ],
    wiring.monitors: [
        lambda o: _spec(o, "PodMonitor", "retouch-triton")["selector"]["matchLabels"].update(x="y"),
        lambda o: _spec(o, "PodMonitor", "retouch-triton")["podMetricsEndpoints"][0].update(port="http"),
        lambda o: _without(o, "PodMonitor", "retouch-orchestrator"),
    ],
    network.denies_by_default: [
        lambda o: _without(o, "NetworkPolicy", "default-deny"),
        lambda o: _spec(o, "NetworkPolicy", "default-deny").update(egress=[{}]),
        lambda o: _spec(o, "NetworkPolicy", "triton")["ingress"].append({"ports": [{"port": 8000}]}),
    ],
    network.lets_services_be_reached: [
        lambda o: _spec(o, "NetworkPolicy", "orchestrator")["ingress"].pop(0),
        lambda o: _spec(o, "NetworkPolicy", "triton")["podSelector"]["matchLabels"].update(x="y"),
    ],
    network.lets_the_orchestrator_call: [
        lambda o: _spec(o, "NetworkPolicy", "orchestrator")["egress"].pop(0),
        lambda o: _spec(o, "NetworkPolicy", "orchestrator")["egress"].pop(1),
        lambda o: _without(o, "NetworkPolicy", "orchestrator-stores"),
        lambda o: _spec(o, "NetworkPolicy", "triton")["ingress"].pop(0),
        lambda o: _spec(o, "NetworkPolicy", "triton")["ingress"][0]["from"][0]["podSelector"]["matchLabels"].update(x="y"),
    ],
    network.lets_only_prometheus_scrape: [
        lambda o: _spec(o, "NetworkPolicy", "orchestrator")["ingress"][0]["ports"].append({"port": 8301}),
    ],
    scaling.targets: [
        lambda o: _without(o, "ScaledObject", "triton-upscale"),
        lambda o: _spec(o, "ScaledObject", "triton-upscale")["scaleTargetRef"].update(name="triton"),
        lambda o: _spec(o, "ScaledObject", "triton-diffusion").update(minReplicaCount=0),
        lambda o: _spec(o, "Deployment", "orchestrator").update(replicas=3),
    ],
    scaling.queries: [
        lambda o: _replaced(_trigger(o, "orchestrator"), "query", "queued_pixels", "queue_pixels"),
        lambda o: _replaced(_trigger(o, "triton-upscale"), "query", "nv_inference_pending", "nv_inference_waiting"),
        lambda o: _trigger(o, "triton-upscale").update(query='up{namespace="retouch",pool="upscale"}'),
        lambda o: _replaced(_trigger(o, "triton-upscale"), "query", '"upscale"', '"restore"'),
        lambda o: _replaced(_trigger(o, "orchestrator"), "query", '"retouch"', '"default"'),
        lambda o: _trigger(o, "triton-upscale").update(threshold="0"),
    ],
    scaling.work: [
        lambda o: _spec(o, "ScaledObject", "triton-upscale")["triggers"].pop(0),
        lambda o: _trigger(o, "orchestrator").update(threshold="100000000"),
    ],
    scaling.patience: [
        lambda o: _behavior(o)["scaleDown"].pop("policies"),
        lambda o: _behavior(o)["scaleDown"].update(stabilizationWindowSeconds=0),
        lambda o: _behavior(o)["scaleUp"].update(stabilizationWindowSeconds=60),
        lambda o: _spec(o, "ScaledObject", "orchestrator").pop("fallback"),
        lambda o: _trigger(o, "triton-upscale").pop("ignoreNullValues"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "break_it"),
    [pytest.param(policy, each, id=f"{policy.__name__}-{i}") for policy, all_ in BREAKS.items() for i, each in enumerate(all_)],
)
def test_refuses(policy: Policy, break_it: Callable[[Objects], Any]) -> None:
    objects = render("overlays/production")
    before = set(policy(objects))
    break_it(objects)
    assert set(policy(objects)) - before


def test_each_policy_is_broken_above() -> None:
    assert set(BREAKS) == set(POLICIES)


def test_hpas_ask_what_scaled_objects_ask() -> None:
    by_keda = {each.deployment: each for each in scaling.scalers(render("overlays/production"))}
    by_hpa = {each.deployment: each for each in scaling.scalers(render("overlays/production-hpa"))}
    assert len(by_keda) == 4
    for name, keda in by_keda.items():
        assert (keda.least, keda.most, keda.triggers) == (by_hpa[name].least, by_hpa[name].most, by_hpa[name].triggers)
        assert keda.behavior == by_hpa[name].behavior


def test_scalers_are_what_the_simulation_recommends() -> None:
    """`python -m benchmarks capacity` writes what it chose; docs/capacity.md tells why."""
    objects, chosen = render("overlays/production"), json.loads((ROOT / "benchmarks/capacity/recommended.json").read_text())
    given = {
        each["metadata"]["name"]: {
            "minReplicaCount": each["spec"]["minReplicaCount"],
            "maxReplicaCount": each["spec"]["maxReplicaCount"],
            "behavior": each["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            "thresholds": {trigger["name"]: float(trigger["metadata"]["threshold"]) for trigger in each["spec"]["triggers"]},
        }
        for each in of_kind(objects, "ScaledObject")
    }
    assert given == chosen["scalers"]
    assert int(_settings(objects)["RETOUCH_BUDGET_PX"]) == chosen["RETOUCH_BUDGET_PX"]
    tolerated = {each["tolerationSeconds"] for w in product(objects) for each in pod_of(w)["tolerations"]}
    assert tolerated == {chosen["tolerationSeconds"]}


def test_an_external_metric_without_a_rule_is_refused() -> None:
    objects = render("overlays/production-hpa")
    _spec(objects, "HorizontalPodAutoscaler", "orchestrator")["metrics"][0]["external"]["metric"]["name"] = "retouch_waiting"
    assert list(scaling.queries(objects)) != []


def test_stand_alone_means_alone() -> None:
    """The base needs no Secret, no operator, and no store of others."""
    objects = render("base")
    assert {each["apiVersion"] for each in objects} <= {"v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"}
    assert "secretKeyRef" not in str(objects)
    assert wiring.environment(objects)["RETOUCH_MASK_STORE"].startswith("sqlite:////var/lib/retouch/")


def test_production_brings_no_secret_and_no_store() -> None:
    for build in ("overlays/production", "overlays/production-hpa", "overlays/gpu"):
        kinds = {each["kind"] for each in render(build)}
        assert not kinds & {"Secret", "PersistentVolumeClaim", "StatefulSet"}


def test_the_page_for_platform_teams_names_every_build_and_secret() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    assert [name for name in (*(f"k8s/{build}" for build in BUILDS), *wiring.BROUGHT) if name not in page] == []
