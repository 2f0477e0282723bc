from __future__ import annotations

import time
from collections import defaultdict
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.store.accounts import Accounts
from taskscope.store.aggregates import MetricPoint, read_aggregates
from taskscope.store.database import open_database
from taskscope.store.ingest import Ingest
from taskscope.store.tally import Histogram

from .builders import (
    SECOND,
    START,
    make_agent,
    make_chat,
    make_log,
    make_span,
    make_task,
    make_tool,
    open_and_end,
    values_of,
)
from .conftest import Store

if TYPE_CHECKING:
    from taskscope.store.records import SpanRecord

_TOOLS = ("pytest", "git", "ruff")
_ERRORS = ("", "timeout", "ValueError")


def _naive(spans: list[SpanRecord]) -> dict[tuple[str, ...], Any]:
    """What a person would count from the ended spans, written down without the rules."""
    found: dict[tuple[str, ...], Any] = defaultdict(list)
    for span in spans:
        seconds, error = span.duration_s, str(span.attributes.get(attr.ERROR_TYPE, ""))
        operation = span.attributes.get(attr.GEN_AI_OPERATION_NAME)
        if operation == "execute_tool":
            tool = str(span.attributes[attr.GEN_AI_TOOL_NAME])
            found["gen_ai.execute_tool.duration", tool, "", "", error].append(seconds)
        elif operation == "invoke_agent":
            found["gen_ai.invoke_agent.duration", "coder", error, ""].append(seconds)
        elif operation == "chat" and attr.LLM_MODE not in span.attributes:
            found["gen_ai.client.inference.duration", "chat", "openai", "m", "", error].append(seconds)
        elif attr.STEP_KIND in span.attributes:
            kind, outcome = str(span.attributes[attr.STEP_KIND]), str(span.attributes[attr.STEP_OUTCOME])
            found["taskscope.step.duration", kind, outcome, error].append(seconds)
    return found


@st.composite
def _spans(draw: st.DrawFn) -> SpanRecord:
    times: dict[str, Any] = {"end_ns": START + draw(st.integers(0, 200 * SECOND))}
    error = draw(st.sampled_from(_ERRORS))
    more = {attr.ERROR_TYPE: error} if error else {}
    kind = draw(st.integers(0, 3))
    if kind == 0:
        span = make_tool(draw(st.sampled_from(_TOOLS)), **times)
    elif kind == 1:
        span = make_agent(**times)
    elif kind == 2:
        span = make_chat({attr.LLM_MODE: "replay"} if draw(st.booleans()) else {}, **times)
    else:
        facts = {attr.STEP_KIND: draw(st.sampled_from(("edit", "test"))), attr.STEP_OUTCOME: "succeeded"}
        span = make_span("step", facts, **times)
    return open_and_end(span, **more)[1]


@settings(max_examples=40, deadline=None)
@given(st.lists(_spans(), max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_the_sums_are_those_of_a_naive_count(spans: list[SpanRecord], cuts: list[int]) -> None:
    """In whatever batches they end, each histogram has the count, sum and buckets of the spans themselves."""
    expected = _naive(spans)
    with (
        TemporaryDirectory() as folder,
        closing(open_database(Path(folder) / "t.db", create=True)) as connection,
    ):
        ingest = Ingest(connection, None)
        edges = [0, *sorted(min(cut, len(spans)) for cut in cuts), len(spans)]
        for start, stop in pairwise(edges):
            ingest.write(spans[start:stop])
        points = read_aggregates(connection)
    names = {key[0] for key in expected} | {"gen_ai.execute_tool.duration", "taskscope.step.duration"}
    actual = {(name, *labels): value for name in names for labels, value in values_of(points, name).items()}
    assert actual.keys() == expected.keys()
    for key, seconds in expected.items():
        bounds = metrics.BY_NAME[key[0]].buckets
        counts = [
            sum(low < s <= high for s in seconds)
            for low, high in zip((-1.0, *bounds), (*bounds, 1e99), strict=True)
        ]
        assert actual[key] == (len(seconds), pytest.approx(sum(seconds)), tuple(counts))


def test_every_series_that_can_be_known_starts_from_zero(store: Store) -> None:
    """Counters and histograms without labels, or with closed sets only; an open label has no series yet."""
    store.session.recover()
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    zeros = {(point.name, *(value for _, value in point.labels)): point.value for point in points}
    assert zeros["taskscope.embeddings.cache.lookups", "hit"] == 0
    assert zeros["taskscope.records.dropped", "traces", "store", "queue_full"] == 0
    assert zeros["taskscope.retrieval.stage.duration", "bm25", ""] == Histogram(0, 0.0, (0,) * 15)
    assert zeros["taskscope.recorder.write.duration",] == Histogram(0, 0.0, (0,) * 15)
    assert zeros["taskscope.budget.usage",] == 0
    assert not [key for key in zeros if key[0] in {"taskscope.task.executions", "taskscope.task.active"}]
    assert {key[0] for key in zeros} <= set(metrics.BY_NAME)


def test_what_was_in_progress_reads_0_when_nothing_is(store: Store) -> None:
    """A series that only stops would read as its last value for as long as a backend looks back."""
    start, end = open_and_end(make_task())
    for record, running in ((start, 1), (end, 0)):
        store.write(record)
        with closing(store.read()) as connection:
            points = [
                point for point in read_aggregates(connection) if point.name == metrics.TASK_ACTIVE.name
            ]
        assert [(dict(point.labels)[attr.TASK_KIND], point.value) for point in points] == [
            ("repair", running)
        ]


def test_a_hundred_values_of_a_label_are_told_apart(store: Store) -> None:
    """The next ones are `other`, in every process and for every metric with that label."""
    store.write(*(make_tool(f"tool-{number:03}") for number in range(60)))
    other = Store(store.path)
    other.write(*(make_tool(f"tool-{number:03}") for number in range(50, 130)))
    store.write(make_tool("tool-129"), make_tool("tool-099"))
    other.session.close()
    with closing(store.read()) as connection:
        found = values_of(read_aggregates(connection), "gen_ai.execute_tool.duration")
    names = {labels[0]: value.count for labels, value in found.items()}
    assert len(names) == 101
    assert (names["other"], names["tool-099"], names["tool-055"]) == (31, 2, 2)
    assert sum(names.values()) == 142


def test_a_value_outside_its_closed_set_is_other(store: Store) -> None:
    """A foreign sender's outcome makes no new series."""
    store.write(*open_and_end(make_task(), **{attr.TASK_OUTCOME: "exploded"}))
    with closing(store.read()) as connection:
        assert values_of(read_aggregates(connection), "taskscope.task.executions") == {
            ("repair", "other", "not_verified", ""): 1
        }


def test_replay_counts_in_no_call_token_or_cost_metric(store: Store) -> None:
    """The same call, live and replayed: only the live one is counted, and both are calls of their agent."""
    facts = {
        attr.GEN_AI_USAGE_INPUT_TOKENS: 10,
        attr.COST_STATUS: "known",
        attr.COST_MICRO_USD: 3,
        attr.LLM_RETRY_COUNT: 2,
    }
    agent = make_agent()
    store.write(
        make_chat(facts, parent=agent.span_id),
        make_chat({**facts, attr.LLM_MODE: "replay"}, parent=agent.span_id),
        agent,
    )
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    inference = [value.count for value in values_of(points, "gen_ai.client.inference.duration").values()]
    tokens = list(values_of(points, "gen_ai.client.inference.usage.input_tokens").values())
    assert (inference, tokens) == ([1], [10])
    assert list(values_of(points, "taskscope.llm.cost").values()) == [3]
    assert list(values_of(points, "taskscope.llm.retries").values()) == [2]
    assert [value.sum for value in values_of(points, "gen_ai.invoke_agent.inference_calls").values()] == [2]


def test_missing_usage_adds_zero_and_is_not_observed(store: Store) -> None:
    """The token counter exists and claims nothing; the histogram of tokens does not."""
    store.write(make_chat())
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    labels = ("chat", "openai", "m", "", "text")
    assert _find(points, "gen_ai.client.inference.usage.input_tokens", labels) == 0
    assert values_of(points, "gen_ai.client.inference.operation.input_tokens") == {}


def _find(points: list[MetricPoint], name: str, labels: tuple[str, ...]) -> object:
    return next(p.value for p in points if p.name == name and tuple(value for _, value in p.labels) == labels)


def test_retrieval_skills_embeddings_and_plans_are_counted(store: Store) -> None:
    """Lookups by hit and miss, skills offered and chosen, results by mode, steps of plans, repeated steps."""
    operation = attr.GEN_AI_OPERATION_NAME
    store.write(
        make_span(
            "embeddings h",
            {operation: "embeddings", attr.EMBEDDINGS_INPUTS: 5, attr.EMBEDDINGS_CACHE_HITS: 2},
        ),
        make_span("retrieval skills", {operation: "retrieval", attr.SKILL_OFFERED: ["a", "b"]}),
        make_span(
            "retrieval code",
            {operation: "retrieval", attr.RETRIEVAL_MODE: "hybrid", attr.RETRIEVAL_RESULTS: 3},
        ),
        make_span("bm25 code", {attr.RETRIEVAL_STAGE: "bm25"}),
        make_span(
            "t", {operation: "execute_tool", attr.GEN_AI_SKILL_NAME: "a", attr.SKILL_OUTCOME: "failed"}
        ),
        make_span(
            "plan c",
            {
                operation: "plan",
                attr.PLAN_SOURCE: "rules",
                attr.PLAN_REASON: "initial",
                attr.PLAN_STEP_COUNT: 4,
            },
        ),
        make_span("step", {attr.STEP_KIND: "edit", attr.STEP_ATTEMPT: 2}),
        make_span("search_memory", {operation: "search_memory"}),
    )
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    assert values_of(points, "taskscope.embeddings.cache.lookups") == {("hit",): 2, ("miss",): 3}
    assert values_of(points, "taskscope.skill.selections") == {
        ("a", "offered"): 1,
        ("b", "offered"): 1,
        ("a", "chosen"): 1,
    }
    assert values_of(points, "taskscope.skill.executions") == {("a", "failed", ""): 1}
    assert values_of(points, "taskscope.retrieval.results")["hybrid",].sum == 3
    assert values_of(points, "taskscope.retrieval.stage.duration").keys() == {("bm25", "")}
    assert values_of(points, "taskscope.plan.steps")["rules", "initial"].sum == 4
    assert values_of(points, "taskscope.step.retries") == {("edit",): 1}
    assert {labels[0] for labels in values_of(points, "gen_ai.client.operation.duration")} == {
        "embeddings", "retrieval", "search_memory",
    }  # fmt: skip


def test_the_latest_health_check_counts(store: Store) -> None:
    """One status of a check is 1, the others 0, and its time is when it ended."""
    facts = {attr.HEALTH_CHECK: "index", attr.HEALTH_GROUP: "ready"}
    store.write(make_span("health_check index", {**facts, attr.HEALTH_STATUS: "fail"}))
    store.write(
        make_span("health_check index", {**facts, attr.HEALTH_STATUS: "pass"}, end_ns=START + 5 * SECOND)
    )
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    assert values_of(points, "taskscope.health.status") == {("index", "ready", "pass"): 1}
    assert _find(points, "taskscope.health.status", ("index", "ready", "fail")) == 0
    assert values_of(points, "taskscope.health.check.timestamp") == {("index",): START / SECOND + 5}


def test_servers_and_databases_are_counted_by_their_spans(store: Store) -> None:
    """A SERVER span by method, route and status; a CLIENT span of a database by system and operation."""
    http = {attr.HTTP_REQUEST_METHOD: "GET", attr.HTTP_ROUTE: "/tasks", attr.HTTP_RESPONSE_STATUS_CODE: 200}
    store.write(
        make_span("GET /tasks", http, kind=2),
        make_span("GET", http, kind=3),
        make_span("query", {attr.DB_SYSTEM_NAME: "sqlite", attr.DB_OPERATION_NAME: "SELECT"}, kind=3),
    )
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    assert values_of(points, "http.server.request.duration").keys() == {("GET", "/tasks", "200", "")}
    assert values_of(points, "http.server.request.duration")["GET", "/tasks", "200", ""].count == 1
    assert values_of(points, "db.client.operation.duration").keys() == {("sqlite", "", "SELECT", "")}


def test_what_was_emitted_is_delivered_or_dropped(store: Store) -> None:
    """The writer's counts arrive with the batch that they belong to."""
    accounts = Accounts()
    accounts.dropped["traces", "queue_full"] = 2
    accounts.errors["processor", "ValueError"] = 1
    store.session.write([make_span(), make_log()], accounts)
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
        rows = connection.execute("SELECT * FROM dropped").fetchall()
    assert values_of(points, "taskscope.records.emitted") == {("traces",): 3, ("logs",): 1}
    assert values_of(points, "taskscope.records.delivered") == {("traces", "store"): 1, ("logs", "store"): 1}
    assert values_of(points, "taskscope.records.dropped") == {("traces", "store", "queue_full"): 2}
    assert values_of(points, "taskscope.internal.errors") == {("processor", "ValueError"): 1}
    assert rows == [("traces", "queue_full", 2)]


def test_the_budget_is_that_of_the_day(store: Store) -> None:
    """Calls of today count, those of yesterday do not."""
    cost = {attr.COST_STATUS: "known", attr.COST_MICRO_USD: 5}
    store.write(make_chat(cost), make_chat(cost, end_ns=time.time_ns()))
    with closing(store.read()) as connection:
        assert values_of(read_aggregates(connection), "taskscope.budget.usage") == {(): 5}


def test_failures_in_a_row_are_those_since_the_last_good_task(store: Store) -> None:
    """By kind: failures and deaths count, a good one begins anew, a stopped one is neither."""
    outcomes = ("failed", "succeeded", "failed", "stopped", "interrupted", "failed")
    for number, outcome in enumerate(outcomes):
        at = START + number * SECOND
        task = make_task(f"t-{number}", start_ns=at, end_ns=at + 1)
        store.write(*open_and_end(task, **{attr.TASK_OUTCOME: outcome}))
    store.write(*open_and_end(make_task("t-9", "review"), **{attr.TASK_OUTCOME: "needs_llm"}))
    with closing(store.read()) as connection:
        found = values_of(read_aggregates(connection), "taskscope.task.consecutive_failures")
    assert found == {("repair",): 3}


def test_the_silence_is_that_of_the_quietest_open_task(store: Store) -> None:
    """It ends with each record of the task's trace, span or log line, and with the task."""
    now = time.time_ns()
    traces = (b"a" * 16, b"b" * 16)
    quiet, talking = (
        make_task(f"t-{trace[0]}", trace=trace, start_ns=now - 3600 * SECOND, end_ns=now) for trace in traces
    )
    store.write(*(open_and_end(task)[0] for task in (quiet, talking)))
    store.write(make_span(trace=traces[0], start_ns=now - 1000 * SECOND, end_ns=now - 600 * SECOND))
    store.write(make_span(trace=traces[1], start_ns=now - SECOND, end_ns=now))
    with closing(store.read()) as connection:
        (silence,) = values_of(read_aggregates(connection), "taskscope.task.silence.max").values()
        assert 600 <= silence < 1000
        store.write(open_and_end(quiet)[1])
        (silence,) = values_of(read_aggregates(connection), "taskscope.task.silence.max").values()
        assert silence < 600


def test_the_library_is_as_large_as_it_was_when_loaded_last(store: Store) -> None:
    """New and known skills together; an index of code is no library."""
    for indexed, unchanged in ((13, 0), (2, 13)):
        facts = {attr.INDEX_FILES_INDEXED: indexed, attr.INDEX_FILES_UNCHANGED: unchanged}
        store.write(make_span("index skills", {attr.RETRIEVAL_INDEX: "skills", **facts}))
        store.write(make_span("index codebase", {attr.RETRIEVAL_INDEX: "codebase", **facts}))
    with closing(store.read()) as connection:
        assert values_of(read_aggregates(connection), "taskscope.skill.library.size") == {(): 15}


def test_a_stage_that_asks_a_database_is_a_query(store: Store) -> None:
    """Searches of the retrieval index are durations of `db.client.operation.duration`; fusing is none."""
    searched = {attr.DB_SYSTEM_NAME: "sqlite", attr.DB_OPERATION_NAME: "SEARCH"}
    store.write(make_span("bm25 codebase", {attr.RETRIEVAL_STAGE: "bm25", **searched}))
    store.write(make_span("fuse", {attr.RETRIEVAL_STAGE: "fuse"}))
    with closing(store.read()) as connection:
        found = values_of(read_aggregates(connection), "db.client.operation.duration")
    assert {labels: value.count for labels, value in found.items()} == {("sqlite", "", "SEARCH", ""): 1}
