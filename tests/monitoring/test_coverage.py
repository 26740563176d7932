"""Every series is looked at, every reason is somebody's, and every alert has a runbook."""

import re
from pathlib import Path

import pytest

from benchmarks.dashboards.queries import panel_queries
from retouch_server.rpc.status import CANCELLED, OK, TABLE, UNKNOWN
from retouch_server.telemetry.metrics import Metrics
from tests.monitoring.expressions import alerts, names, rules, selectors

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECTIONS = ["What it means", "Who is affected", "First look", "What to do"]
REASONS = {row.reason for row in (*TABLE.values(), UNKNOWN, OK, CANCELLED)}


def exported() -> set[str]:
    """The names of our series as Prometheus stores them, histograms by their base."""
    body = Metrics().exposition()[0].decode()
    kinds = re.findall(r"^# TYPE (retouch_\w+) \w+$", body, re.MULTILINE)
    return set(kinds)


def asked() -> set[str]:
    """The names of the series in all queries, histograms by their base."""
    expressions = [query.expr for query in panel_queries()] + [rule["expr"] for _, rule in rules()]
    found = {name for expr in expressions for name in names(expr)}
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


def test_every_series_is_on_a_dashboard_or_in_a_rule() -> None:
    assert exported() - asked() == set()


def test_every_series_that_is_asked_for_is_exported_or_recorded() -> None:
    records = {rule["record"] for _, rule in rules() if "record" in rule}
    ours = {name for name in asked() if name.startswith("retouch")}
    assert ours - exported() - records == set()


def test_the_objective_and_the_page_about_it_agree_on_whose_reasons_are_whose() -> None:
    page = (DOCS / "monitoring.md").read_text()
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (ours|the caller's|good|nobody's) \|", page, re.MULTILINE))
    assert set(told) == REASONS, "the table of reasons in docs/monitoring.md"
    ours = {reason for reason, whose in told.items() if whose == "ours"}
    counted: set[frozenset[str]] = set()
    for _, rule in rules():
        for selector in selectors(rule["expr"]):
            if match := re.search(r'reason=~"([^"]+)"', selector):
                counted.add(frozenset(match[1].split("|")))
    assert counted == {frozenset(ours), frozenset(ours | {"OK"})}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']} {alert['labels'].get('window', '')}".strip())
def test_an_alert_says_what_it_is_and_has_a_runbook(alert: dict[str, dict[str, str]]) -> None:
    name, annotations = str(alert["alert"]), alert["annotations"]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert annotations["summary"].endswith(".")
    assert "$value" in annotations["description"]
    assert annotations["runbook_url"] == f"docs/runbooks/{name}.md"
    page = (DOCS / "runbooks" / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    for section in re.split(r"^## .+$", page, flags=re.MULTILINE)[1:]:
        assert section.strip()
    assert "```promql" in page.partition("## First look")[2].partition("## What to do")[0]


def test_no_runbook_is_about_nothing() -> None:
    pages = {path.stem for path in (DOCS / "runbooks").glob("*.md")}
    assert pages == {str(alert["alert"]) for alert in alerts()}
    for path in (DOCS / "runbooks").glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name} → {link}"
