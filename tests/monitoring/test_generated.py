"""What is committed is what its source makes; and what Grafana and the operator need is in it."""

import json
from typing import Any

import pytest
import yaml

from k8s.monitoring.source.__main__ import DASHBOARDS, generated
from tests.monitoring.expressions import MONITORING, rules


@pytest.mark.parametrize("path", sorted(generated()))
def test_it_is_fresh(path: str) -> None:
    assert (MONITORING / path).read_text() == generated()[path], "stale: run `make dashboards`"


def test_nothing_else_lies_beside_the_dashboards() -> None:
    assert {path.stem for path in (MONITORING / "dashboards").iterdir()} == set(DASHBOARDS)


def test_the_component_has_every_dashboard_and_resource() -> None:
    component = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    assert set(component["resources"]) == {"scrape.yaml", "prometheusrules.yaml"}
    files = {file for one in component["configMapGenerator"] for file in one["files"]}
    assert files == {f"dashboards/{name}.json" for name in DASHBOARDS}
    assert component["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}


def test_the_operators_objects_have_every_rule() -> None:
    documents = list(yaml.safe_load_all((MONITORING / "prometheusrules.yaml").read_text()))
    found = [rule for document in documents for group in document["spec"]["groups"] for rule in group["rules"]]
    assert sorted(found, key=str) == sorted((rule for _, rule in rules()), key=str)


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_is_laid_out_and_explained(name: str) -> None:
    dashboard: dict[str, Any] = json.loads((MONITORING / f"dashboards/{name}.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, f"{panel['title']} lies over another panel"
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith("."), f"{panel['title']} is not explained"
            assert panel["targets"], panel["title"]
            assert all("namespace" in target["expr"] or "ALERTS" in target["expr"] for target in panel["targets"])
