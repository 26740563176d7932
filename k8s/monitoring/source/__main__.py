"""Writes the generated files of k8s/monitoring/ again."""

import argparse
import json
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from k8s.monitoring.source import capacity, overview, quality, stages, triton
from k8s.monitoring.source.prometheus_rules import ROOT, prometheus_rules

DASHBOARDS = {"overview": overview, "stages": stages, "triton": triton, "quality": quality, "capacity": capacity}


def as_json(dashboard: Dashboard) -> str:
    """What Grafana imports; panels are numbered from 1 on, so that links to one stay right."""
    built: Any = dashboard.build()
    for number, panel in enumerate(built.panels, start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def generated(runbooks: str = "") -> dict[str, str]:
    """Every generated file, by its path below k8s/monitoring/. runbooks: see `prometheus_rules`."""
    boards = {f"dashboards/{name}.json": as_json(module.build()) for name, module in DASHBOARDS.items()}
    return boards | {"prometheusrules.yaml": prometheus_rules(runbooks)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m k8s.monitoring.source", description=__doc__)
    parser.add_argument(
        "--runbooks", default="", metavar="URL", help="where this repository is read: goes before each runbook_url"
    )
    for path, text in generated(parser.parse_args().runbooks).items():
        (ROOT / path).write_text(text)
