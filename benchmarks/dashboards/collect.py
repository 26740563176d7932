"""What the panels show: their queries' answers over a span of time, as plain data."""

import re
from typing import Any

from benchmarks.dashboards.queries import panel_queries, substituted
from benchmarks.prometheus import Prometheus, Series

Data = dict[str, dict[str, list[Any]]]
"""Dashboard → panel id → [legend, [(seconds since 1970, value), …]] of each series; one point where one moment is shown."""


async def collect(prometheus: Prometheus, start_s: float, end_s: float, *, step_s: float, rate_interval: str) -> Data:
    """Asks every query of every dashboard. Errors: ValueError for a query that is none."""
    data: Data = {}
    for query in panel_queries():
        expr = substituted(query.expr, rate_interval)
        is_moment = query.panel["type"] in ("stat", "bargauge")
        if is_moment:
            answer = await prometheus.query(expr, end_s)
        else:
            answer = await prometheus.query_range(expr, start_s, end_s, step_s)
        series = [[_legend(query.legend, one), one.points] for one in answer]
        data.setdefault(query.dashboard, {}).setdefault(str(query.panel["id"]), []).extend(sorted(series, key=lambda s: s[0]))
    return data


def _legend(template: str, series: Series) -> str:
    return re.sub(r"{{(\w+)}}", lambda label: series.labels.get(label[1], ""), template).strip()
