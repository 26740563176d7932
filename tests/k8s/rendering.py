"""What `kubectl kustomize` builds, and how to look things up in it."""

import copy
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

Object = dict[str, Any]
Objects = list[Object]

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
BUILDS = ("base", *sorted(f"overlays/{place.name}" for place in (K8S / "overlays").iterdir()))
_NEEDED = (1, 27)  # its kustomize, 5.0, is the first that knows all that is used here


@functools.cache
def kubectl() -> str:
    """The kubectl on PATH; skips the tests, saying why, where there is none or it is too old."""
    path = shutil.which("kubectl")
    if path is None:
        _skip("kubectl is not on PATH: install Debian's kubernetes-client (13, trixie, or later), or kubectl 1.27 or later")
    run = subprocess.run([path, "version", "--client", "--output=json"], capture_output=True, text=True, check=True)
    version: str = json.loads(run.stdout)["clientVersion"]["gitVersion"]
    found = re.match(r"v(\d+)\.(\d+)", version)
    assert found, f"{path} calls itself {version}"
    if tuple(map(int, found.groups())) < _NEEDED:
        _skip(f"{path} is {version}: its kustomize is too old, 1.27 or later is needed")
    return path


def _skip(reason: str) -> NoReturn:
    pytest.skip(reason, allow_module_level=True)


@functools.cache
def _built(name: str) -> Objects:
    run = subprocess.run([kubectl(), "kustomize", str(K8S / name)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert not run.stderr, f"kustomize warns: {run.stderr}"
    return [each for each in yaml.safe_load_all(run.stdout) if each]


def render(name: str) -> Objects:
    """The objects of a base or overlay, to do with as you like."""
    return copy.deepcopy(_built(name))


def of_kind(objects: Objects, *kinds: str) -> Iterator[Object]:
    return (each for each in objects if each["kind"] in kinds)


def find(objects: Objects, kind: str, name: str) -> Object:
    """The object of that name, or the only one whose name begins so. Errors: ValueError."""
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name] or [
        each for each in of_kind(objects, kind) if each["metadata"]["name"].startswith(f"{name}-")
    ]
    return found


def title(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['name']}"


def pod_of(workload: Object) -> Object:
    return workload["spec"]["template"]["spec"]


def labels_of(workload: Object) -> Mapping[str, str]:
    return workload["spec"]["template"]["metadata"]["labels"]


def containers(workload: Object) -> list[Object]:
    return [*pod_of(workload).get("initContainers", ()), *pod_of(workload)["containers"]]


def workloads(objects: Objects) -> Iterator[Object]:
    return of_kind(objects, "Deployment", "StatefulSet", "DaemonSet")


def product(objects: Objects) -> Iterator[Object]:
    """Deployments of our own images."""
    return (each for each in workloads(objects) if labels_of(each).get("app.kubernetes.io/name") == "retouch")


def orchestrator(objects: Objects) -> Object:
    return find(objects, "Deployment", "orchestrator")


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (`matchLabels` only, which is all that is used here) takes those labels; empty takes all."""
    assert set(selector) <= {"matchLabels"}, f"selector {selector} is more than this check understands"
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def port_names(workload: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for each in containers(workload) for port in each.get("ports", ())}


def seconds(arguments: Sequence[str], option: str) -> int:
    """The value of `--option=…` on a command line. Errors: ValueError."""
    (value,) = [each.partition("=")[2] for each in arguments if each.startswith(f"{option}=")]
    return int(value)


def loaded_models(workload: Object) -> list[str]:
    """What a Triton pool serves."""
    arguments = containers(workload)[0].get("args", ())
    return [each.partition("=")[2] for each in arguments if each.startswith("--load-model=")]
