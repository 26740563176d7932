"""The queries of the dashboards, as Grafana would send them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.dashboards.stack import MONITORING

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A query of a panel; `expr` still has Grafana's variables."""

    dashboard: str
    panel: Json
    expr: str
    legend: str

    @property
    def name(self) -> str:
        return f"{self.dashboard} / {self.panel['title']}"


def dashboards(folder: Path = MONITORING / "dashboards") -> dict[str, Json]:
    """The committed dashboards, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def panel_queries() -> Iterator[PanelQuery]:
    """Every query of every panel."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield PanelQuery(name, panel, target["expr"], target["legendFormat"])


def substituted(expr: str, rate_interval: str) -> str:
    """With every variable at All, and so many seconds or minutes for a rate: "4m"."""
    for variable in ("namespace", "pool", "model"):
        expr = expr.replace(f"${variable}", ".*")
    expr = expr.replace("$__rate_interval", rate_interval)
    assert "$" not in expr, f"a variable that nobody substitutes: {expr}"
    return expr
