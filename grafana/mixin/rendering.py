"""A page as Grafana's v1 JSON, by the foundation SDK; everything about looks stands here."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Final

from grafana.mixin.tables import HEADINGS, TRACE_FIELD

with warnings.catch_warnings():
    # 0.0.21 warns whoever makes pages of v1, which are those that Grafana 13.0 loads from files.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as builders
    from grafana_foundation_sdk.builders import (
        logs,
        loki,
        prometheus,
        stat,
        statetimeline,
        table,
        tempo,
        timeseries,
    )
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common, dashboard
    from grafana_foundation_sdk.models import tempo as tempo_models
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from grafana.mixin.panels import Page, Panel, Query, Source, Variable

TAG: Final = "taskscope"
"""All pages have it; the links above a page lead to all that do."""
SEARCH_LIMIT: Final = 50
"""Traces of one table."""
SPANS_LIMIT: Final = 100
"""Spans of one trace in a table: the most that Tempo gives unless it is told otherwise."""
LINES_LIMIT: Final = 1000
"""Lines of a log panel."""
_TRACE_FIELDS: Final = ("traceService", "traceName", "spanID", "time", "name", "duration")
"""What Tempo's data source gives with each span besides its attributes."""
_LABEL_VALUES: Final = 1
"""Kind of a variable's query, as Tempo's data source numbers them."""
_STEP_COLOUR: Final = "green"


def render_page(page: Page) -> str:
    """The JSON that is committed."""
    return JSONEncoder(sort_keys=True, indent=2).encode(_build(page).build()) + "\n"


def _build(page: Page) -> builders.Dashboard:
    built = (
        builders.Dashboard(page.title)
        .uid(page.uid)
        .description(page.question)
        .tags([TAG])
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time(page.since, "now")
        .timezone("browser")
        .refresh("1m")
        .link(
            builders.DashboardLink("Taskscope")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=False)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
    )
    for variable in page.variables:
        built.with_variable(_build_variable(variable))
    number = 1
    for row in page.rows:
        built.with_row(builders.Row(row.question).id(number))
        for panel in row.panels:
            number += 1
            built.with_panel(_build_panel(panel).id(number))
        number += 1
    return built


def source_of(source: Source) -> common.DataSourceRef:
    """One of each kind, with the kind as its uid."""
    return common.DataSourceRef(type_val=source, uid=source)


# --- variables


def _build_variable(variable: Variable) -> Any:
    if variable.is_free:
        free = builders.TextBoxVariable(variable.name).label(variable.label)
        return free.description(variable.description).default_value("")
    asked: dict[str, object] = {"query": variable.query, "refId": variable.name}
    if not variable.metric:
        asked = {"type": _LABEL_VALUES, "label": variable.key, "refId": variable.name}
    built = (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .description(variable.description)
        .datasource(source_of("prometheus" if variable.metric else "tempo"))
        .query(asked)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(
            dashboard.VariableSort.ALPHABETICAL_ASC
            if variable.metric
            else dashboard.VariableSort.ALPHABETICAL_DESC
        )
    )
    if variable.every:
        chosen = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
        built.multi(multi=True).include_all(include_all=True).all_value(variable.every).current(chosen)
    if variable.is_hidden:
        built.hide(dashboard.VariableHide.HIDE_VARIABLE)
    return built


# --- queries


def _build_query(query: Query, ref_id: str, *, in_table: bool) -> Any:
    if query.source == "tempo":
        return _build_tempo(query, ref_id)
    if query.source == "loki":
        lines = loki.Dataquery().expr(query.text).query_type("range").max_lines(LINES_LIMIT)
        return lines.ref_id(ref_id).datasource(source_of("loki"))
    built = prometheus.Dataquery().expr(query.text).ref_id(ref_id).datasource(source_of("prometheus"))
    if query.is_instant:
        built.instant()
    else:
        built.range().exemplar(exemplar=query.has_exemplars)
    if in_table:
        built.format(PromQueryFormat.TABLE)
    return built.legend_format(query.legend or "__auto")


def _build_tempo(query: Query, ref_id: str) -> tempo.Dataquery:
    built = tempo.Dataquery().query(query.text).query_type("traceql").ref_id(ref_id)
    if query.kind == "search":
        built.table_type(tempo_models.SearchTableType.SPANS).limit(SEARCH_LIMIT).spss(SPANS_LIMIT)
    elif query.kind == "metrics":
        built.metrics_query_type(tempo_models.MetricsQueryType.RANGE)
    return built.datasource(source_of("tempo"))


# --- panels


def _build_panel(panel: Panel) -> Any:
    built = _VIEWS[panel.view](panel)
    built.title(panel.title).description(panel.text)
    built.height(panel.height).span(panel.width)
    built.datasource(source_of(panel.queries[0].source))
    in_table = panel.view == "table"
    for position, query in enumerate(panel.queries):
        built.with_target(_build_query(query, ref_of(position), in_table=in_table))
    return built


def ref_of(position: int) -> str:
    """A, B, C: how Grafana calls the queries of a panel."""
    return chr(ord("A") + position)


def _set_field(built: Any, panel: Panel) -> Any:
    """What a value is: unit, bounds, colours, and what stands where there is none."""
    built.unit(panel.unit).no_value(panel.empty)
    if panel.minimum is not None:
        built.min(panel.minimum)
    if panel.maximum is not None:
        built.max(panel.maximum)
    steps = [dashboard.Threshold(value=None, color=_STEP_COLOUR)]
    steps += [dashboard.Threshold(value=step.value, color=step.colour) for step in panel.steps]
    absolute = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    built.thresholds(absolute.steps(steps))
    if panel.states:
        words = {
            f"{value:g}": dashboard.ValueMappingResult(text=word, color=colour, index=index)
            for index, (value, word, colour) in enumerate(panel.states)
        }
        built.mappings([dashboard.ValueMap(options=words)])
    return built


def _build_timeseries(panel: Panel) -> Any:
    legend = (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(["lastNotNull", "max"])
    )
    both = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    built = timeseries.Panel().legend(legend).tooltip(both.sort(common.SortOrder.DESCENDING))
    built.line_width(2).fill_opacity(40 if panel.is_stacked else 10)
    built.show_points(common.VisibilityMode.AUTO)
    if panel.is_stacked:
        built.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if panel.steps:
        line = common_builders.GraphThresholdsStyleConfig()
        built.thresholds_style(line.mode(common.GraphThresholdsStyleMode.DASHED))
    return _set_field(built, panel)


def _build_stat(panel: Panel) -> Any:
    last = common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
    built = stat.Panel().reduce_options(last).graph_mode(common.BigValueGraphMode.AREA)
    coloured = common.BigValueColorMode.VALUE if panel.steps else common.BigValueColorMode.NONE
    return _set_field(built.color_mode(coloured), panel)


def _build_timeline(panel: Panel) -> Any:
    built = statetimeline.Panel().show_value(common.VisibilityMode.NEVER).merge_values(merge_values=True)
    return _set_field(built.row_height(0.9).fill_opacity(80), panel)


def _build_logs(panel: Panel) -> Any:
    built = logs.Panel().show_time(show_time=True).wrap_log_message(wrap_log_message=True)
    built.enable_log_details(enable_log_details=True).sort_order(common.LogsSortOrder.ASCENDING)
    return _set_field(built, panel)


def _build_traces(panel: Panel) -> Any:
    """The SDK has no builder for the view of one trace; the panel's model is the same."""
    return _set_field(builders.Panel().type("traces"), panel)


def _build_table(panel: Panel) -> Any:
    built = _set_field(table.Panel(), panel)
    built.filterable(filterable=True)
    if len(panel.queries) > 1:
        built.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    named, hidden = _find_columns(panel)
    options = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {name: index for index, name in enumerate(named)},
        "renameByName": named,
    }
    built.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=options))
    for position, query in enumerate(panel.queries):
        if query.unit:
            unit = dashboard.DynamicConfigValue(id_val="unit", value=query.unit)
            built.override_by_name(_value_field(panel, position), [unit])
    for link in panel.links:
        shown = {"title": link.title, "url": link.url}
        built.override_by_name(link.column, [dashboard.DynamicConfigValue(id_val="links", value=[shown])])
    return built


def _value_field(panel: Panel, position: int) -> str:
    """What the values of one query are called once all are merged."""
    return "Value" if len(panel.queries) == 1 else f"Value #{ref_of(position)}"


def _find_columns(panel: Panel) -> tuple[dict[str, str], tuple[str, ...]]:
    """Fields to headings in order, and the fields that are hidden; the trace id must stay for the links."""
    named = dict(panel.columns)
    if panel.queries[0].source == "tempo":
        asked = re.findall(r"(?:span|resource)\.([a-z_]+(?:\.[a-z_]+)+)", panel.queries[0].text)
        hidden = {*_TRACE_FIELDS, *asked, *(key for key in HEADINGS if key in asked)} - set(named)
        return named, tuple(sorted(hidden - {TRACE_FIELD}))
    if "Value" not in named:
        named |= {_value_field(panel, index): query.legend for index, query in enumerate(panel.queries)}
    return named, ("Time",)


_VIEWS: Final = {
    "timeseries": _build_timeseries,
    "stat": _build_stat,
    "table": _build_table,
    "statetimeline": _build_timeline,
    "logs": _build_logs,
    "traces": _build_traces,
}
