"""Whether what names something else names something that is there, and that may be reached."""

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retouch_server.config import ConfigError, Settings
from retouch_server.pipeline.policy import PolicyError, load_policy
from retouch_server.rpc.server import SERVICES
from tests.k8s.rendering import (
    ROOT,
    Object,
    Objects,
    containers,
    find,
    labels_of,
    loaded_models,
    of_kind,
    orchestrator,
    pod_of,
    port_names,
    product,
    selects,
    title,
    workloads,
)

BROUGHT = {
    "retouch-stores": {"mask-store": "postgresql://u:p@h/d", "result-cache": "redis://h:6379/0"},
    "retouch-tokens": {"tokens": ""},
    "retouch-tls": {},
}
"""Secrets that docs/kubernetes.md tells the platform team to make, with values of the kind that they hold."""


def _backends(objects: Objects, service: Object) -> list[Object]:
    selector = service["spec"].get("selector")
    return [each for each in workloads(objects) if selector and selects({"matchLabels": selector}, labels_of(each))]


def services(objects: Objects) -> Iterator[str]:
    """Every Service selects one workload, and its ports are that one's."""
    for service in of_kind(objects, "Service"):
        backends = _backends(objects, service)
        if len(backends) != 1:
            yield f"{title(service)} selects {len(backends)} workloads"
            continue
        ports = port_names(backends[0])
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{title(service)}: {title(backends[0])} has no port {port['targetPort']}"


def balancing(objects: Objects) -> Iterator[str]:
    """The addresses that orchestrators and clients resolve are those of pods: headless."""
    for workload in product(objects):
        own = [each for each in of_kind(objects, "Service") if workload in _backends(objects, each)]
        if not any(each["spec"].get("clusterIP") == "None" for each in own):
            yield f"{title(workload)}: no headless Service, so that a connection stays with one pod"


def environment(objects: Objects) -> dict[str, str]:
    """Variables of the orchestrator, as its container gets them. Errors: ValueError, KeyError."""
    (container,) = containers(orchestrator(objects))
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        values |= find(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for each in container.get("env", ()):
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        values[each["name"]] = _secret(objects, **reference) if reference else each["value"]
    return values


def _secret(objects: Objects, name: str, key: str) -> str:
    """What a Secret holds: one of this build, or one that is brought. Errors: KeyError."""
    for each in of_kind(objects, "Secret"):
        if each["metadata"]["name"] == name:
            return base64.b64decode(each["data"][key]).decode()
    return BROUGHT[name][key]


def settings(objects: Objects) -> Iterator[str]:
    """The server accepts its environment; the pools that it names are Services here; its policy can be read."""
    values = environment(objects)
    if unknown := sorted(each for each in values if not each.startswith("RETOUCH_")):
        yield f"the orchestrator has {unknown}, which are no settings"
    try:
        given = Settings.from_environment(values)
    except ConfigError as error:
        yield str(error)
        return
    for url in given.triton_urls.split(","):
        host, _, port = url.partition(":")
        ports = [
            each["port"] for s in of_kind(objects, "Service") if s["metadata"]["name"] == host for each in s["spec"]["ports"]
        ]
        if int(port) not in ports:
            yield f"RETOUCH_TRITON_URLS names {url}, and no Service has it"
    for path in filter(None, (given.policy, given.tokens_file)):
        if not any(path.startswith(each["mountPath"] + "/") for each in containers(orchestrator(objects))[0]["volumeMounts"]):
            yield f"{path} is not mounted"
    if given.policy:
        text = find(objects, "ConfigMap", "orchestrator-policy")["data"][Path(given.policy).name]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "policy.toml").write_text(text)
            try:
                load_policy(Path(folder) / "policy.toml")
            except PolicyError as error:
                yield str(error)


def references(objects: Objects) -> Iterator[str]:
    """ConfigMaps, Secrets, claims and volumes that pods name."""
    there = {(each["kind"], each["metadata"]["name"]) for each in objects} | {("Secret", name) for name in BROUGHT}
    for workload in workloads(objects):
        wanted: set[tuple[str, str]] = set()
        volumes = pod_of(workload).get("volumes", ())
        for volume in volumes:
            wanted |= {("ConfigMap", volume["configMap"]["name"])} if "configMap" in volume else set()
            wanted |= {("Secret", volume["secret"]["secretName"])} if "secret" in volume else set()
            claim = volume.get("persistentVolumeClaim")
            wanted |= {("PersistentVolumeClaim", claim["claimName"])} if claim else set()
        for container in containers(workload):
            wanted |= {("ConfigMap", each["configMapRef"]["name"]) for each in container.get("envFrom", ())}
            named: list[dict[str, Any]] = [each.get("valueFrom", {}).get("secretKeyRef") for each in container.get("env", ())]
            wanted |= {("Secret", each["name"]) for each in named if each}
            mounted = {each["name"] for each in container.get("volumeMounts", ())}
            if mounted != {each["name"] for each in volumes}:
                yield f"{title(workload)}: volumes and mounts differ"
        for kind, name in sorted(wanted - there):
            yield f"{title(workload)}: there is no {kind} {name}"


def models(objects: Objects) -> Iterator[str]:
    """Each model of the repository is in one pool."""
    pooled = [model for each in product(objects) for model in loaded_models(each)]
    known = {place.parent.name for place in (ROOT / "model_repository").glob("*/config.pbtxt")}
    if missing := sorted(known - set(pooled)):
        yield f"no pool serves {missing}"
    if unknown := sorted(set(pooled) - known):
        yield f"the repository has no {unknown}"
    if twice := sorted({each for each in pooled if pooled.count(each) > 1}):
        yield f"more than one pool serves {twice}"


def routes(objects: Objects) -> Iterator[str]:
    """The way in: every service of the API, to a Service that is there, through a Gateway that is there."""
    for route in of_kind(objects, "GRPCRoute"):
        for parent in route["spec"]["parentRefs"]:
            listeners = find(objects, "Gateway", parent["name"])["spec"]["listeners"]
            (listener,) = [each for each in listeners if each["name"] == parent["sectionName"]]
            if listener["protocol"] != "HTTPS" or listener["hostname"] not in route["spec"]["hostnames"]:
                yield f"{title(route)}: listener {listener['name']} has no TLS for {route['spec']['hostnames']}"
        for rule in route["spec"]["rules"]:
            routed = {match["method"]["service"] for match in rule["matches"]}
            if routed != set(SERVICES):
                yield f"{title(route)} has {sorted(routed)}, the API {sorted(SERVICES)}"
            for backend in rule["backendRefs"]:
                ports = [
                    port["port"]
                    for each in of_kind(objects, "Service")
                    if each["metadata"]["name"] == backend["name"]
                    for port in each["spec"]["ports"]
                ]
                if backend["port"] not in ports:
                    yield f"{title(route)}: no Service {backend['name']} with port {backend['port']}"


def monitors(objects: Objects) -> Iterator[str]:
    """What is scraped is there, and all of ours is scraped."""
    scraped: set[str] = set()
    found = list(of_kind(objects, "PodMonitor"))
    for monitor in found:
        chosen = [each for each in workloads(objects) if selects(monitor["spec"]["selector"], labels_of(each))]
        ports = [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]]
        if not chosen or any(port not in port_names(each) for each in chosen for port in ports):
            yield f"{title(monitor)} selects {[title(each) for each in chosen]}, ports {ports}"
        scraped |= {title(each) for each in chosen}
    if found and (left := {title(each) for each in product(objects)} - scraped):
        yield f"nobody scrapes {sorted(left)}"


POLICIES = (services, balancing, settings, references, models, routes, monitors)
