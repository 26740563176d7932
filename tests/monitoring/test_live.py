"""A real Prometheus scrapes a real orchestrator and a real Triton under load, and every query that we ship gets data.

Variables are substituted as Grafana does at "All", with rates over 20 s where it says `$__rate_interval`. A recording rule is
asked under its own name and as its expression. An alert's expression has no value while all is well, so it is asked without its
comparisons, and so is each of its selectors. An absent() is satisfied by its selectors.
"""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.dashboards.load import Load
from benchmarks.dashboards.queries import panel_queries, substituted
from benchmarks.dashboards.stack import Stack, jobs, stack
from retouch import RetouchClient
from tests.monitoring.expressions import alerts, rules, selectors, uncompared
from tests.monitoring.scalers import scaler_queries

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="module")]
RATE = "20s"
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs/runbooks"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Scraped each second; the same load twice, so that every counter grows while Prometheus looks."""
    if shutil.which("prometheus") is None:
        pytest.skip("there is no `prometheus` here: Debian's package is `prometheus`")
    async with stack(tmp_path_factory.mktemp("live")) as running, RetouchClient(running.target) as client:
        load = Load(client)
        await load.everything_once()
        await asyncio.sleep(3)  # it was scraped
        await load.everything_once()
        await asyncio.sleep(3)  # and again; and the rules that rest on others' records were evaluated
        yield running


async def without_data(live: Stack, queries: dict[str, str]) -> list[str]:
    """Those that return nothing, or only what is not a number."""
    at_s = time.time()

    async def has_data(expr: str) -> bool:
        return any(value == value for series in await live.prometheus.query(expr, at_s) for _, value in series.points)

    answers = await asyncio.gather(*(has_data(expr) for expr in queries.values()))
    return [f"{name}: {expr}" for (name, expr), has in zip(queries.items(), answers, strict=True) if not has]


async def test_all_targets_are_up_with_the_jobs_of_the_monitors(live: Stack) -> None:
    targets = await live.prometheus.targets()
    assert {(target["labels"]["job"], target["health"]) for target in targets} == {(job, "up") for job in jobs().values()}


async def test_every_query_of_every_dashboard(live: Stack) -> None:
    queries = {f"{query.name} #{number}": substituted(query.expr, RATE) for number, query in enumerate(panel_queries())}
    assert len(queries) > 80
    assert await without_data(live, queries) == []


async def test_every_recording_rule(live: Stack) -> None:
    records = {rule["record"]: rule["expr"] for _, rule in rules() if "record" in rule}
    assert len(records) > 20
    assert await without_data(live, records) == []
    assert await without_data(live, {name: name for name in records}) == []


async def test_every_alert(live: Stack) -> None:
    queries: dict[str, str] = {}
    for number, alert in enumerate(alerts()):
        name = f"{alert['alert']} #{number}"
        queries |= {f"{name} {selector}": selector for selector in selectors(alert["expr"])}
        if not alert["expr"].startswith("absent("):
            queries[name] = uncompared(alert["expr"])
            assert queries[name] != alert["expr"], "an alert without a comparison"
    assert await without_data(live, queries) == []


async def test_every_query_of_the_scalers(live: Stack) -> None:
    queries = scaler_queries()
    assert len(queries) >= 2, "KEDA's and prometheus-adapter's, in k8s/"
    assert await without_data(live, queries) == []


async def test_every_query_of_the_runbooks_is_one_about_series_that_there_are(live: Stack) -> None:
    """Most have an answer only when something is wrong, so their selectors are asked."""
    queries: dict[str, str] = {}
    for path in RUNBOOKS.glob("*.md"):
        for expr in re.findall(r"```promql\n(.+?)\n```", path.read_text(), re.DOTALL):
            await live.prometheus.query(expr)  # or it would be refused
            assert selectors(expr)
            queries |= {f"{path.stem} {selector}": selector for selector in selectors(expr)}
    assert len(queries) > 30
    assert await without_data(live, queries) == []


async def test_no_alert_fires_on_a_healthy_service(live: Stack) -> None:
    assert [alert["labels"] for alert in await live.prometheus.alerts() if alert["state"] == "firing"] == []
