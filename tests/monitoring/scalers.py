"""The queries that autoscaling goes by, from the manifests: KEDA's triggers and prometheus-adapter's rules."""

from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).resolve().parents[2] / "k8s"


def scaler_queries() -> dict[str, str]:
    """PromQL by where it comes from."""
    queries: dict[str, str] = {}
    for path in sorted(K8S.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if isinstance(document, dict):
                queries |= {f"{path.relative_to(K8S)} {name}": query for name, query in _queries(document).items()}
    return queries


def _queries(document: dict[str, Any]) -> dict[str, str]:
    if document.get("kind") == "ScaledObject":
        triggers = [trigger for trigger in document["spec"]["triggers"] if trigger["type"] == "prometheus"]
        name = document["metadata"]["name"]
        return {f"{name} #{number}": trigger["metadata"]["query"] for number, trigger in enumerate(triggers)}
    rules = document.get("rules")
    if isinstance(rules, dict):  # values of prometheus-adapter's chart
        return {rule["name"]["as"]: _adapted(rule) for rule in rules.get("external", [])}
    return {}


def _adapted(rule: dict[str, Any]) -> str:
    """The query that prometheus-adapter makes of its template for one object, with the namespace as the only matcher."""
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="retouch"')
    assert "<<" not in query, f"a template that this test does not fill in: {query}"
    return query
