"""Everything under k8s/ builds and validates, by the schemas of Kubernetes' three newest minors and of the custom resources."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kubernetes_validate import utils

from tests.k8s.rendering import BUILDS, K8S, Object, kubectl, render, title

MINORS = sorted({tuple(map(int, version.split(".")[:2])) for version in utils.all_versions()})[-3:]
SCHEMAS = Path(__file__).parent / "schemas"


@functools.cache
def schema_of(kind: str) -> Any | None:
    """Of a custom resource; None for what Kubernetes itself defines."""
    place = SCHEMAS / f"{kind}.json"
    return json.loads(place.read_text()) if place.exists() else None


def faults(each: Object, minor: tuple[int, int]) -> Iterator[str]:
    schema = schema_of(each["kind"])
    try:
        if schema is None:
            version = utils.validate(each, f"{minor[0]}.{minor[1]}", strict=True)
            assert version == f"{minor[0]}.{minor[1]}"
        else:
            jsonschema.Draft7Validator(schema).validate(each)
    except jsonschema.ValidationError as error:
        yield f"{title(each)}, {'.'.join(map(str, error.path))}: {error.message}"


@pytest.fixture(scope="module", autouse=True)
def schemas_are_read_once() -> Iterator[None]:
    """They are 3 MB for each call otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


@pytest.mark.parametrize("minor", MINORS, ids=lambda minor: f"{minor[0]}.{minor[1]}")
def test_every_object_is_what_its_schema_says(minor: tuple[int, int]) -> None:
    """Objects that several builds have are looked at once."""
    unique = {json.dumps(each, sort_keys=True, default=str): each for build in BUILDS for each in render(build)}
    assert [fault for each in unique.values() for fault in faults(each, minor)] == []


def test_three_minors_are_known() -> None:
    assert len(MINORS) == 3


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "ScaledObject", "PodMonitor"])
def test_a_field_that_does_not_exist_is_refused(kind: str) -> None:
    each = next(each for each in render("overlays/production") if each["kind"] == kind)
    assert list(faults(each, MINORS[-1])) == []
    each["spec"]["replicsa"] = 3
    assert any("replicsa" in fault for fault in faults(each, MINORS[-1]))


def test_what_is_required_and_enumerated_is_asked_for() -> None:
    objects = {each["kind"]: each for each in render("overlays/production")}
    del objects["ScaledObject"]["spec"]["scaleTargetRef"]
    objects["Gateway"]["spec"]["listeners"][0]["tls"]["mode"] = "Terminated"
    objects["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["interval"] = "15"
    for kind in ("ScaledObject", "Gateway", "PodMonitor"):
        assert list(faults(objects[kind], MINORS[-1])), kind


def test_only_current_versions_of_apis() -> None:
    """What the newest minor no longer has would fail above; betas that it still has, fail here."""
    used = {(each["apiVersion"], each["kind"]) for build in BUILDS for each in render(build)}
    assert {pair for pair in used if "alpha" in pair[0] or "beta" in pair[0]} == {("keda.sh/v1alpha1", "ScaledObject")}


@pytest.mark.parametrize(("version", "says"), [("v1.20.2", "v1.20.2: its kustomize is too old"), (None, "not on PATH")])
def test_a_kubectl_that_will_not_do_is_named(
    version: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version:
        script = tmp_path / "kubectl"
        script.write_text(f"#!/bin/sh\necho '{json.dumps({'clientVersion': {'gitVersion': version}})}'\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=says):
        kubectl.__wrapped__()


def test_every_file_is_part_of_a_build() -> None:
    """No manifest lies about that nothing applies: removed from what names it, each build would fail or change."""
    named = "\n".join(place.read_text() for place in K8S.rglob("kustomization.yaml"))
    manifests = [
        place
        for folder in ("base", "components", "overlays")
        for place in (K8S / folder).rglob("*.yaml")
        if place.name not in ("kustomization.yaml", "prometheus-adapter.yaml")
    ]
    assert [str(place) for place in manifests if place.name not in named] == []
