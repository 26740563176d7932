"""PrometheusRule objects for the prometheus-operator, made from the rule files that promtool checks and tests."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Made from rules/*.yaml by `make dashboards`; edit those.\n"


def rule_files() -> dict[str, dict[str, Any]]:
    """rules/NAME.yaml by NAME: `{"groups": [{"name", "rules"}]}`, as Prometheus itself reads them."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))}


def prometheus_rules(runbooks: str = "") -> str:
    """One object for each rule file, as YAML documents. runbooks: where the repository is read, to go before runbook_url."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"retouch-{name}"},
            "spec": content,
        }
        for name, content in rule_files().items()
    ]
    for rule in (rule for document in documents for group in document["spec"]["groups"] for rule in group["rules"]):
        if runbooks and "alert" in rule:
            rule["annotations"]["runbook_url"] = f"{runbooks.rstrip('/')}/{rule['annotations']['runbook_url']}"
    return HEADER + yaml.safe_dump_all(documents, sort_keys=False, width=128, allow_unicode=True)
