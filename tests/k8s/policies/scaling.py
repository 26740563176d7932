"""Autoscalers: on work, by metrics that are there, and never so fast that a stream is cut."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from retouch_server.telemetry.metrics import Metrics
from tests.k8s.rendering import K8S, Object, Objects, find, labels_of, of_kind, product, title

TRITON_METRICS = Path(__file__).parents[1] / "triton_metrics.txt"
"""Names that a real Triton exported; test_triton.py holds them against one."""
ADAPTER = K8S / "components/hpa/prometheus-adapter.yaml"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A query that yields one number for a Deployment, and how much of it one pod should have."""

    query: str
    target: float


@dataclass(frozen=True, slots=True)
class Scaler:
    """A ScaledObject or a HorizontalPodAutoscaler, as far as they are alike."""

    title: str
    deployment: str
    least: int
    most: int
    triggers: tuple[Trigger, ...]
    behavior: Object


def scalers(objects: Objects) -> Iterator[Scaler]:
    for each in of_kind(objects, "ScaledObject"):
        spec = each["spec"]
        yield Scaler(
            title(each),
            spec["scaleTargetRef"]["name"],
            spec["minReplicaCount"],
            spec["maxReplicaCount"],
            tuple(Trigger(t["metadata"]["query"], float(t["metadata"]["threshold"])) for t in spec["triggers"]),
            spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        )
    for each in of_kind(objects, "HorizontalPodAutoscaler"):
        spec, namespace = each["spec"], each["metadata"]["namespace"]
        triggers = tuple(
            Trigger(_adapted(metric["external"], namespace), float(metric["external"]["target"]["averageValue"]))
            for metric in spec["metrics"]
        )
        name = spec["scaleTargetRef"]["name"]
        yield Scaler(title(each), name, spec["minReplicas"], spec["maxReplicas"], triggers, spec["behavior"])


@functools.cache
def adapter_rules() -> tuple[Object, ...]:
    """The rules for prometheus-adapter's external metrics."""
    return tuple(yaml.safe_load(ADAPTER.read_text())["rules"]["external"])


def _adapted(metric: Object, namespace: str) -> str:
    """The query that prometheus-adapter makes of an external metric; one that matches nothing without a rule."""
    labels = {"namespace": namespace, **metric["metric"].get("selector", {}).get("matchLabels", {})}
    matchers = ",".join(f'{key}="{value}"' for key, value in labels.items())
    queries = [rule["metricsQuery"] for rule in adapter_rules() if rule["name"]["as"] == metric["metric"]["name"]]
    return queries[0].replace("<<.LabelMatchers>>", matchers) if queries else f"no_rule_for_{metric['metric']['name']}{{}}"


@functools.cache
def exported() -> frozenset[str]:
    """Names of series that the orchestrator and Triton export."""
    own = {sample.name for family in Metrics().registry.collect() for sample in family.samples}
    return frozenset(own | set(TRITON_METRICS.read_text().split()))


def series(query: str) -> set[str]:
    """Names of series in a PromQL expression: what stands before `{`, and what looks like ours."""
    bare = re.sub(r'"[^"]*"', '""', query)
    return set(re.findall(r"(\w+)\s*\{", bare)) | set(re.findall(r"\b(?:nv|retouch)_\w+", bare))


def targets(objects: Objects) -> Iterator[str]:
    """Where there are autoscalers, each Deployment of ours has one, which alone says how many pods there are."""
    found = list(scalers(objects))
    deployments = {each["metadata"]["name"]: each for each in product(objects)}
    scaled = [each.deployment for each in found]
    if found and sorted(scaled) != sorted(deployments):
        yield f"{sorted(scaled)} are scaled, not {sorted(deployments)}"
    for each in found:
        if "replicas" in deployments.get(each.deployment, {}).get("spec", {}):
            yield f"{each.title}: to apply the manifest again would undo its choice, for the Deployment says replicas"
        if not 1 <= each.least <= each.most:
            yield f"{each.title}: {each.least} to {each.most} replicas; 0 would never become 1"


def queries(objects: Objects) -> Iterator[str]:
    """Series that are exported, of this namespace and this pool."""
    for each in scalers(objects):
        try:
            deployment = find(objects, "Deployment", each.deployment)
        except ValueError:
            continue  # `targets` says so
        matchers = {"namespace": deployment["metadata"]["namespace"]}
        if pool := labels_of(deployment).get("retouch/pool"):
            matchers["pool"] = pool
        for trigger in each.triggers:
            names = series(trigger.query)
            if not names or not names <= exported():
                yield f"{each.title}: nobody exports {sorted(names - exported()) or 'what it asks for'}: {trigger.query}"
            for found in re.findall(r"\{([^}]*)\}", trigger.query):
                if dict(re.findall(r'(\w+)="([^"]*)"', found)) != matchers:
                    yield f"{each.title}: {{{found}}} are not the series of {matchers}"
            if trigger.target <= 0:
                yield f"{each.title}: a target of {trigger.target}"


def work(objects: Objects) -> Iterator[str]:
    """The orchestrator on pixels, within what a pod admits; a pool on what waits there."""
    budget_px = float(find(objects, "ConfigMap", "orchestrator-settings")["data"]["RETOUCH_BUDGET_PX"])
    for each in scalers(objects):
        names = set[str]().union(*(series(trigger.query) for trigger in each.triggers))
        wanted = (
            {"retouch_queued_pixels"}
            if each.deployment == "orchestrator"
            else {"nv_inference_pending_request_count", "nv_inference_queue_duration_us"}
        )
        if not wanted <= names:
            yield f"{each.title} does not look at {sorted(wanted - names)}"
        if each.deployment == "orchestrator" and any(trigger.target >= budget_px for trigger in each.triggers):
            yield f"{each.title}: a pod admits {budget_px:g} px, so that its target would be met by a queue alone"


def patience(objects: Objects) -> Iterator[str]:
    """More pods at once, fewer after minutes; and what is not known is not taken for nothing."""
    for each in scalers(objects):
        down = each.behavior.get("scaleDown", {})
        if down.get("stabilizationWindowSeconds", 300) < 300 or not down.get("policies"):
            yield f"{each.title} takes pods away without a pause of 5 min, or all at once"
        if each.behavior.get("scaleUp", {}).get("stabilizationWindowSeconds", 0):
            yield f"{each.title} waits before it adds pods"
    for each in of_kind(objects, "ScaledObject"):
        if each["spec"].get("fallback", {}).get("behavior") != "currentReplicasIfHigher":
            yield f"{title(each)}: no fallback for when Prometheus is away"
        for trigger in each["spec"]["triggers"]:
            if trigger["metadata"].get("ignoreNullValues") != "false":
                yield f"{title(each)}: no answer would count as no work, and all pods but {each['spec']['minReplicaCount']} go"


POLICIES = (targets, queries, work, patience)
