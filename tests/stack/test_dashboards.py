"""Every page of Grafana against the real backends, filled by a fleet of real runs (`stack.fleet`)."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from grafana.mixin.dashboards import PAGES
from grafana.mixin.rendering import ref_of
from stack.fleet import Fleet, models
from stack.fleet.agents.foreign import CACHED, COST, INPUT
from stack.instance import Instance
from stack.programs import find_collector_configs
from taskscope.semconv.spans import EXECUTE_TOOL

from .otlp import wait_for
from .walk import EVERYTHING, Target, Walk, load_pages, missing, panels_of, settings_of, targets_of, urls_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXPECTED: Final = {
    (page.uid, panel.title, ref_of(position)): query.expected
    for page in PAGES
    for panel in page.panels
    for position, query in enumerate(panel.queries)
}
# Every trace is kept, by a sampling whose decisions are shown.
SAMPLING: Final = {
    "TASKSCOPE_SAMPLING_WAIT": "5s",
    "TASKSCOPE_SAMPLING_WAIT_AFTER_ROOT": "1s",
    "TASKSCOPE_SAMPLING_BASELINE_PERCENT": "100",
    "TASKSCOPE_SCRAPE_INTERVAL": "2s",
}
ARRIVED_WITHIN: Final = 300.0
LARGE: Final = models.PRICED
HOUSE: Final = models.UNPRICED
FOREIGN_CALLS: Final = {"gpt-5": 2, "gpt-4": 1, "gpt-4o": 2, "claude-9": 3}
FOREIGN_INPUT: Final = {model: calls * INPUT for model, calls in FOREIGN_CALLS.items()}


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Walk]]:
    """The filled backends, with a task that cost something and one that failed in the variables."""
    folder = tmp_path_factory.mktemp("dashboards")
    gateway = find_collector_configs("gateway", "scale")
    with Instance(folder / "stack", configs={"gateway": gateway}, environment=SAMPLING) as instance:
        instance.start()
        since = time.time() - 60
        with Fleet(folder / "fleet", instance.url("agent", "otlp_http")) as fleet:
            fleet.serve()
            fleet.fall_ill()
            fleet.fill()
            first = {run.scenario: run for run in reversed(fleet.runs)}
            found = [
                Walk(
                    urls_of(instance), {**EVERYTHING, "task": run.task_id or "", "trace": run.trace_id}, since
                )
                for run in (first["expensive"], first["failing"])
            ]
            deadline = time.monotonic() + ARRIVED_WITHIN
            while find_empty(found) and time.monotonic() < deadline:
                time.sleep(2)
                found = [renew(walk) for walk in found]
            yield found


def renew(walk: Walk) -> Walk:
    """The same walk up to now."""
    return Walk(walk.urls, walk.values, walk.since)


def find_empty(walks: list[Walk], pages: list[dict[str, Any]] | None = None) -> list[str]:
    """The queries without rows, or whose rows lack a label."""
    return [
        message
        for page in pages or load_pages()
        for target in targets_of(page)
        if (message := look(walks, target)) is not None
    ]


def look(walks: list[Walk], target: Target) -> str | None:
    rows = [row for walk in walks for row in walk.ask(target)]
    if not rows:
        return f"{target.name}: no rows"
    lacking = missing(rows, EXPECTED[target.page, target.panel, target.query["refId"]])
    return f"{target.name}: no row has {lacking}, but {rows[0]}" if lacking else None


def test_every_panel_has_rows(walks: list[Walk]) -> None:
    """Each query of each panel brings rows that carry the labels which legend and columns speak of."""
    assert "\n".join(find_empty(walks)) == ""


def test_every_variable_has_choices(walks: list[Walk]) -> None:
    """Each variable that asks a data source offers something."""
    empty = [
        f"{page['uid']}: {variable['name']}"
        for page in load_pages()
        for variable in page["templating"]["list"]
        if variable["type"] == "query" and not walks[0].ask_variable(variable)
    ]
    assert empty == []


@pytest.mark.parametrize(
    "uid", ["taskscope-fleet", "taskscope-llm", "taskscope-tools", "taskscope-retrieval"]
)
def test_nobody_is_nothing(walks: list[Walk], uid: str) -> None:
    """Where a choice leaves nobody, no panel has a row: it shows its words, not a 0."""
    choice = {"job": "nobody", "service": "nobody"}
    nobody = [Walk(walk.urls, {**walk.values, **choice}, walk.since) for walk in walks]
    assert [target.name for target in targets_of(_page(uid)) if look(nobody, target) is None] == []


@pytest.mark.parametrize(
    "column, numbers",
    [
        ("Calls", {LARGE: 14, HOUSE: 1, "writer-1": 2, **FOREIGN_CALLS}),
        ("Failed", {LARGE: 6, "writer-1": 1}),
        ("Input tokens", {LARGE: 6 * models.INPUT, HOUSE: models.INPUT, "writer-1": 10, **FOREIGN_INPUT}),
        (
            "of these from cache",
            {LARGE: 6 * models.CACHED, HOUSE: models.CACHED, "gpt-5": CACHED, "claude-9": 3 * CACHED},
        ),
        ("Known cost", {LARGE: 6 * models.MICRO_USD / 1e6, "gpt-5": COST / 1e6}),
        ("Calls of unknown cost", {LARGE: 8, HOUSE: 1, **FOREIGN_CALLS, "gpt-5": 1}),
    ],
)
def test_numbers_of_models_are_exact(walks: list[Walk], column: str, numbers: dict[str, float]) -> None:
    """Of hosts with Taskscope and of other senders each call, token and dollar stands in the table, once."""
    panel = next(one for one in panels_of(_page("taskscope-llm")) if one["title"] == "By model")
    (query,) = (one for one in panel["targets"] if one["legendFormat"] == column)

    def look() -> dict[str, float]:
        found = renew(walks[0]).find_values(query["expr"], "gen_ai_request_model")
        # What the embedder costs depends on the words that it is asked for.
        return {
            model: round(number, 6) for model, number in found.items() if number and model != models.EMBEDDER
        }

    wait_for(look, numbers)


def test_records_add_up(walks: list[Walk]) -> None:
    """The page about the pipeline finds no record that is neither delivered, dropped nor pending."""
    (target,) = (one for one in targets_of(_page("taskscope-pipeline")) if one.panel == "Unaccounted for")
    walk = walks[0]
    # Hosts go on sending: a look may fall between two of their requests.
    wait_for(lambda: renew(walk).find_values(target.query["expr"], ""), {"": 0.0})


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("taskscope_task_active", "taskscope_tasks_active"),
        ("span.taskscope.task.outcome", "span.taskscope.task.result"),
        ("taskscope_task_outcome", "taskscope_outcome"),
    ],
)
def test_a_wrong_name_is_found(walks: list[Walk], right: str, wrong: str) -> None:
    """A panel that asks for a metric, attribute or label which nobody sends fails the walk."""
    (fleet,) = (page for page in load_pages() if page["uid"] == "taskscope-fleet")
    targets = [target for target in targets_of(fleet) if right in _text(target.query)]
    targets = [target for target in targets if target.kind != "logs"]  # they only print what a line has
    assert targets
    changed = [Target(one.page, one.panel, one.kind, _replace(one.query, right, wrong)) for one in targets]
    assert all(look(walks, target) for target in changed)


def _text(query: Mapping[str, Any]) -> str:
    return str(query.get("expr") or query["query"])


def _replace(query: Mapping[str, Any], right: str, wrong: str) -> dict[str, Any]:
    key = "expr" if "expr" in query else "query"
    return {**query, key: _text(query).replace(right, wrong)}


def test_a_number_leads_to_a_trace(walks: list[Walk]) -> None:
    """The exemplars of Fleet's operations name traces, and Tempo has them under these ids."""
    traces = walks[0].find_exemplars()
    assert traces
    assert any(walks[0].has_trace(trace) for trace in traces)


def test_a_trace_leads_to_its_lines(walks: list[Walk]) -> None:
    """What is asked of Loki for a span brings lines, and these name their trace where their link reads it."""
    walk = walks[0]
    query = settings_of("tempo")["tracesToLogsV2"]["query"].replace("$$", "$")
    text = query.replace("${__tags}", 'service_name="agents"')
    rows = walk.ask_lines(text.replace("${__trace.traceId}", walk.values["trace"]))
    (link,) = settings_of("loki")["derivedFields"]
    assert link["matcherType"] == "label"
    assert {row[link["matcherRegex"]] for row in rows} == {walk.values["trace"]}


def test_a_span_leads_to_its_numbers(walks: list[Walk]) -> None:
    """What Tempo's data source asks of Prometheus for a tool's span that failed brings numbers."""
    settings = settings_of("tempo")["tracesToMetrics"]
    values = {"service.name": "agents", "gen_ai.operation.name": EXECUTE_TOOL}
    tags = ", ".join(f'{tag["value"]}="{values[tag["key"]]}"' for tag in settings["tags"])
    # A range ends at a whole step, before which the tool may not yet have failed.
    for query in settings["queries"]:
        text = query["query"].replace("$$", "$").replace("$__tags", tags)
        wait_for(partial(has_numbers, walks[0], text), expected=True)


def has_numbers(walk: Walk, text: str) -> bool:
    return bool(renew(walk).ask_prometheus(text, is_instant=False))


def _page(uid: str) -> dict[str, Any]:
    (page,) = (page for page in load_pages() if page["uid"] == uid)
    return page
