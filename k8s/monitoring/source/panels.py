"""The kinds of panels that the dashboards are made of, and what all dashboards share.

Widths are columns of 24, heights rows of 30 px, as Grafana counts them. Every panel says in its description what to see in it.
"""

from collections.abc import Iterable
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
NS = 'namespace=~"$namespace"'
"""Goes into every selector."""
RATE = "[$__rate_interval]"

Query = tuple[str, str]
"""PromQL, and what the legend calls each series."""
Limits = tuple[float, float]
"""Where a value is worth a look (orange), and where it is bad (red)."""


def lines(
    title: str,
    description: str,
    queries: Iterable[Query],
    *,
    unit: str = "short",
    width: int = 8,
    height: int = 8,
    is_stacked: bool = False,
    top: float | None = None,
    exemplars: bool = False,
) -> timeseries.Panel:
    """Values over time. exemplars: with points that lead to traces, on a latency."""
    legend = common.VizLegendOptions().show_legend(True).placement(models.LegendPlacement.BOTTOM)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(height)
        .min(0)
        .line_width(1)
        .fill_opacity(60 if is_stacked else 8)
        .show_points(models.VisibilityMode.NEVER)
        .legend(legend.display_mode(models.LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING))
    )
    if is_stacked:
        panel.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL))
    if top is not None:
        panel.max(top)
    return _with_queries(panel, queries, exemplars=exemplars)


def number(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "short",
    width: int = 4,
    limits: Limits | None = None,
    decimals: int | None = None,
) -> stat.Panel:
    """One number, now. limits: they colour it; where the first is the larger one, low values are the bad ones."""
    panel = stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(width).height(4)
    panel.graph_mode(models.BigValueGraphMode.NONE).color_mode(models.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).thresholds(_thresholds(limits))
    if decimals is not None:
        panel.decimals(decimals)
    return panel.with_target(_query(expr, "", "A").instant())


def bars(
    title: str, description: str, queries: Iterable[Query], *, unit: str = "short", width: int = 8, height: int = 8
) -> bargauge.Panel:
    """One bar for each series, now."""
    panel = bargauge.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(width).height(height)
    panel.orientation(models.VizOrientation.HORIZONTAL).display_mode(models.BarGaugeDisplayMode.BASIC).min(0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).thresholds(_thresholds(None))
    return _with_queries(panel, queries, is_instant=True)


def warmth(
    title: str, description: str, histogram: str, selector: str = NS, *, unit: str = "short", width: int = 8, height: int = 8
) -> heatmap.Panel:
    """How the observations of a histogram are spread, over time: a column for each moment, a cell for each bucket."""
    expr = f"sum by (le) (increase({histogram}_bucket{{{selector}}}{RATE}))"
    panel = heatmap.Panel().title(title).description(description).datasource(SOURCE).span(width).height(height)
    panel.calculate(False).y_axis(heatmap.YAxisConfig().unit(unit))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    return panel.with_target(_query(expr, "{{le}}", "A").format(PromQueryFormat.HEATMAP).range())


def quantiles(histogram: str, *shares: float, by: str = "", selector: str = NS, legend: str = "") -> list[Query]:
    """A query for each quantile of a histogram, by further labels."""
    labels = f"le, {by}" if by else "le"
    rate = f"sum by ({labels}) (rate({histogram}_bucket{{{selector}}}{RATE}))"
    return [(f"histogram_quantile({share:g}, {rate})", f"{legend} p{share * 100:g}".strip()) for share in shares]


def per_second(counter: str, *, by: str, selector: str = NS) -> str:
    """Increase of a counter per second, by those labels."""
    return f"sum by ({by}) (rate({counter}{{{selector}}}{RATE}))"


def dashboard(
    name: str, title: str, description: str, rows: dict[str, list[Any]], *, variables: Iterable[Any] = ()
) -> Dashboard:
    """A dashboard of titled rows of panels, for the data source and the namespaces that the reader chooses."""
    board = Dashboard(f"Retouch / {title}").uid(f"retouch-{name}").description(description).tags(["retouch"]).readonly()
    board.time("now-1h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    board.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    board.with_variable(choice("namespace", "label_values(retouch_build_info, namespace)"))
    for variable in variables:
        board.with_variable(variable)
    board.link(_others())
    for heading, panels in rows.items():
        board.with_row(Row(heading))
        for panel in panels:
            board.with_panel(panel)
    return board


def choice(name: str, query: str) -> QueryVariable:
    """A variable that the reader chooses from what there is; all at first."""
    variable = QueryVariable(name).label(name.capitalize()).datasource(SOURCE).query(query)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return variable.include_all(True).multi(True)


def _with_queries(panel: Any, queries: Iterable[Query], *, is_instant: bool = False, exemplars: bool = False) -> Any:
    for letter, (expr, legend) in zip("ABCDEFGH", queries, strict=False):
        query = _query(expr, legend, letter)
        panel.with_target(query.instant() if is_instant else query.range().exemplar(exemplars))
    return panel


def _query(expr: str, legend: str, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter).datasource(SOURCE)


def _thresholds(limits: Limits | None) -> ThresholdsConfig:
    if limits is None:
        steps = [Threshold(value=None, color="blue")]
    elif limits[0] <= limits[1]:
        steps = [
            Threshold(value=None, color="green"),
            Threshold(value=limits[0], color="orange"),
            Threshold(value=limits[1], color="red"),
        ]
    else:
        steps = [
            Threshold(value=None, color="red"),
            Threshold(value=limits[1], color="orange"),
            Threshold(value=limits[0], color="green"),
        ]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _others() -> Any:
    """A menu of the dashboards with our tag, which keeps time and variables."""
    link = DashboardLink("Retouch").type(DashboardLinkType.DASHBOARDS).tags(["retouch"])
    return link.as_dropdown(True).keep_time(True).include_vars(True)
