"""The queries that autoscaling goes by, from the manifests: KEDA's triggers and prometheus-adapter's rules."""

import re
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
    if document.get("kind") == "ConfigMap":
        texts = [yaml.safe_load(text) for text in document.get("data", {}).values() if "metricsQuery" in text]
        return {name: query for text in texts for name, query in _queries(text).items()}
    rules = document.get("rules")
    if isinstance(rules, list) and any("metricsQuery" in rule for rule in rules if isinstance(rule, dict)):
        return {rule["seriesQuery"]: _adapted(rule) for rule in rules}
    return {}


def _adapted(rule: dict[str, Any]) -> str:
    """The query that prometheus-adapter makes of its template for one object, with the namespace as the only matcher."""
    series = re.match(r"[\w:]+", rule["seriesQuery"])
    assert series, rule
    values = {"Series": series[0], "LabelMatchers": 'namespace="retouch"', "GroupBy": "namespace"}
    return re.sub(r"<<\s*\.(\w+)\s*>>", lambda template: values[template[1]], rule["metricsQuery"])
