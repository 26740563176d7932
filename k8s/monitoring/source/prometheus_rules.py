"""PrometheusRule objects for the prometheus-operator, made from the rule files that promtool checks and tests."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Made from rules/*.yaml by `make dashboards`; edit those.\n"


def rule_files() -> dict[str, dict[str, Any]]:
    """rules/NAME.yaml by NAME: `{"groups": [{"name", "rules"}]}`, as Prometheus itself reads them."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))}


def prometheus_rules() -> str:
    """One object for each rule file, as YAML documents."""
    documents = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"retouch-{name}"},
            "spec": content,
        }
        for name, content in rule_files().items()
    ]
    return HEADER + yaml.safe_dump_all(documents, sort_keys=False, width=128, allow_unicode=True)
