"""The kinds of spans: names, kinds, attributes with their types, status, as the contract has them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.prices import Price
from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as names
from taskscope.telemetry import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskscope.testing import SpanRecorder

KNOWN_KEYS = {value for name, value in vars(attr).items() if name.isupper()}


def only(recorder: SpanRecorder) -> dict[str, Any]:
    """Return the one root."""
    (root,) = recorder.tree()
    return root


STARTS: list[tuple[spans.Operation, str, str, dict[str, object]]] = [
    (
        spans.agent("coder", model="gpt"),
        "invoke_agent coder",
        "INTERNAL",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "coder",
            "gen_ai.request.model": "gpt",
        },
    ),
    (
        spans.plan("coder", revision=2),
        "plan coder",
        "INTERNAL",
        {
            "gen_ai.operation.name": "plan",
            "gen_ai.agent.name": "coder",
            "taskscope.plan.source": "rules",
            "taskscope.plan.revision": 2,
            "taskscope.plan.reason": "replan",
        },
    ),
    (
        spans.step("lint", index=3, attempt=2),
        "step lint",
        "INTERNAL",
        {"taskscope.step.kind": "lint", "taskscope.step.index": 3, "taskscope.step.attempt": 2},
    ),
    (
        spans.chat(
            "gpt", provider="openai", mode="replay", base_url="http://localhost:8080/v1", max_tokens=9
        ),
        "chat gpt",
        "CLIENT",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt",
            "gen_ai.request.max_tokens": 9,
            "taskscope.llm.mode": "replay",
            "server.address": "localhost",
            "server.port": 8080,
        },
    ),
    (
        spans.embeddings("hash-1024", inputs=4),
        "embeddings hash-1024",
        "INTERNAL",
        {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "local",
            "gen_ai.request.model": "hash-1024",
            "taskscope.embeddings.inputs": 4,
        },
    ),
    (
        spans.retrieval("codebase", top_k=8),
        "retrieval codebase",
        "CLIENT",
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "codebase",
            "gen_ai.retrieval.top_k": 8,
        },
    ),
    (
        spans.bm25("codebase"),
        "bm25 codebase",
        "INTERNAL",
        {"taskscope.retrieval.stage": "bm25", "taskscope.retrieval.index": "codebase"},
    ),
    (
        spans.vector("codebase"),
        "vector codebase",
        "INTERNAL",
        {"taskscope.retrieval.stage": "vector", "taskscope.retrieval.index": "codebase"},
    ),
    (
        spans.fuse(k=60),
        "fuse",
        "INTERNAL",
        {
            "taskscope.retrieval.stage": "fuse",
            "taskscope.retrieval.fusion_method": "rrf",
            "taskscope.retrieval.fusion_k": 60,
        },
    ),
    (spans.index("codebase"), "index codebase", "INTERNAL", {"taskscope.retrieval.index": "codebase"}),
    (
        spans.search_memory("archive"),
        "search_memory",
        "INTERNAL",
        {"gen_ai.operation.name": "search_memory", "gen_ai.memory.store.id": "archive"},
    ),
    (
        spans.upsert_memory("archive", record_id="t-1"),
        "upsert_memory",
        "INTERNAL",
        {
            "gen_ai.operation.name": "upsert_memory",
            "gen_ai.memory.store.id": "archive",
            "gen_ai.memory.record.id": "t-1",
        },
    ),
    (
        spans.tool("pytest"),
        "execute_tool pytest",
        "INTERNAL",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "pytest",
            "gen_ai.tool.type": "function",
        },
    ),
    (
        spans.skill("missing_colon", description="Adds a colon."),
        "execute_tool skill missing_colon",
        "INTERNAL",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "skill",
            "gen_ai.tool.type": "function",
            "gen_ai.skill.name": "missing_colon",
            "gen_ai.skill.description": "Adds a colon.",
        },
    ),
    (spans.command("/usr/bin/git"), "git", "CLIENT", {"process.executable.name": "git"}),
    (
        spans.health_check("disk", group="ready", required=True),
        "health_check disk",
        "INTERNAL",
        {
            "taskscope.health.check": "disk",
            "taskscope.health.group": "ready",
            "taskscope.health.required": True,
        },
    ),
    (
        spans.database("SELECT", system="sqlite", collection="chunks"),
        "SELECT chunks",
        "CLIENT",
        {"db.system.name": "sqlite", "db.operation.name": "SELECT", "db.collection.name": "chunks"},
    ),
]


@pytest.mark.parametrize("operation, name, kind, attributes", STARTS, ids=[case[1] for case in STARTS])
def test_kind_of_span_starts_as_the_contract_says(
    span_recorder: SpanRecorder,
    operation: spans.Operation,
    name: str,
    kind: str,
    attributes: dict[str, object],
) -> None:
    """A span has its name, its kind and the attributes that samplers need from its start on."""
    operation.start()
    node = only(span_recorder)
    operation.end()
    assert (node["name"], node["kind"], node["open"]) == (name, kind, True)
    assert node["attributes"] == attributes
    assert {key: type(value) for key, value in node["attributes"].items()} == {
        key: type(value) for key, value in attributes.items()
    }
    assert set(node["attributes"]) <= KNOWN_KEYS


TREE = """\
invoke_workflow repair
  invoke_agent coder
    search_memory
    index codebase
    retrieval codebase
      bm25 codebase
        fuse
    step test
      execute_tool pytest
        python ! 1
    plan coder
    step skill
      execute_tool skill missing_colon
  step verify"""


def test_task_of_the_contract_is_one_tree(span_recorder: SpanRecorder) -> None:
    """A task by rules makes the tree of the contract, with task id and kind on every span."""
    with spans.task("repair", task_id="t-7", source="cli", repository="shop", revision="abc") as task:
        with spans.agent("coder"):
            with spans.search_memory("archive") as memory:
                memory.finish(records=0)
            with spans.index("codebase") as index:
                index.finish(indexed=3, unchanged=0, skipped=1)
            with spans.retrieval("codebase") as retrieval:
                with spans.bm25("codebase"), spans.fuse(k=60):
                    pass
                retrieval.finish(results=2, candidates=5, mode="hybrid")
            with spans.step("test"), spans.tool("pytest") as tool:
                with spans.command("python") as command:
                    command.finish(pid=12, exit_code=1)
                tool.record_output(1200)
            with spans.plan("coder") as plan:
                plan.finish(step_count=1)
            with spans.step("skill"), spans.skill("missing_colon"):
                pass
        with spans.step("verify") as verify:
            verify.finish("succeeded")
        task.finish("succeeded", verification="passed", files_changed=1)
    assert span_recorder.text() == TREE
    for span in span_recorder.spans:
        stamped = span.attributes or {}
        assert (stamped["taskscope.task.id"], stamped["taskscope.task.kind"]) == ("t-7", "repair")
        assert set(stamped) <= KNOWN_KEYS
    assert only(span_recorder)["attributes"] == {
        "taskscope.task.id": "t-7",
        "taskscope.task.kind": "repair",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "repair",
        "taskscope.task.attempt": 1,
        "taskscope.task.source": "cli",
        "vcs.repository.name": "shop",
        "vcs.ref.head.revision": "abc",
        "taskscope.task.outcome": "succeeded",
        "taskscope.task.verification": "passed",
        "taskscope.task.files_changed": 1,
    }


@pytest.mark.parametrize("outcome", names.TASK_OUTCOMES)
def test_status_follows_the_outcome_of_a_task(span_recorder: SpanRecorder, outcome: str) -> None:
    """Good outcomes leave the status unset, the others are errors with an `error.type`."""
    with spans.task("repair") as task:
        task.finish(outcome, verification="failed" if outcome == "failed" else None)
    node = only(span_recorder)
    expected = {"failed": "verification_failed", "stopped": "_OTHER", "interrupted": "_OTHER"}.get(outcome)
    assert node["attributes"].get("error.type") == expected
    assert node.get("status") == ("ERROR" if expected else None)


@pytest.mark.parametrize(
    "outcome, severity",
    [
        ("succeeded", "INFO"),
        ("needs_review", "INFO"),
        ("needs_llm", "WARN"),
        ("stopped", "WARN"),
        ("failed", "ERROR"),
    ],
)
def test_task_tells_of_start_and_end(span_recorder: SpanRecorder, outcome: str, severity: str) -> None:
    """A task emits `task.started` and `task.finished`, as severe as its outcome."""
    with spans.task("repair") as task:
        task.finish(outcome, error_type="loop" if severity == "ERROR" else None)
    started, finished = span_recorder.events
    assert (started.name, started.severity) == ("taskscope.task.started", "INFO")
    assert started.attributes == {
        "taskscope.task.id": "t-1",
        "taskscope.task.kind": "repair",
        "taskscope.task.attempt": 1,
        "taskscope.task.source": "api",
    }
    assert (finished.name, finished.severity) == ("taskscope.task.finished", severity)
    assert finished.attributes["taskscope.task.outcome"] == outcome


ERRORS: list[tuple[BaseException, str, str]] = [
    (ValueError("no"), "ValueError", "failed"),
    (asyncio.CancelledError(), "cancelled", "stopped"),
    (KeyboardInterrupt(), "cancelled", "stopped"),
    (TimeoutError(), "timeout", "stopped"),
    (SystemExit(1), "SystemExit", "failed"),
    (type("BudgetError", (Exception,), {"error_type": "budget_exceeded"})(), "budget_exceeded", "stopped"),
    (type("OddError", (Exception,), {"error_type": 7})(), f"{__name__}.OddError", "failed"),
    (type("OwnError", (Exception,), {"error_type": "_OTHER"})(), f"{__name__}.OwnError", "failed"),
]


@pytest.mark.parametrize("error, error_type, outcome", ERRORS, ids=[case[1] for case in ERRORS])
def test_error_is_the_same_on_all_spans_and_told_once(
    span_recorder: SpanRecorder, error: BaseException, error_type: str, outcome: str
) -> None:
    """An exception passes as it is; each span that it leaves has `error.type`, the innermost tells it."""
    with (
        pytest.raises(type(error)) as caught,
        spans.task("repair"),
        spans.step("edit", index=4),
        spans.tool("files"),
    ):
        raise error
    assert caught.value is error
    assert caught.value.args == error.args
    assert [(span.attributes or {})["error.type"] for span in span_recorder.spans] == [error_type] * 3
    assert {span.status.status_code.name for span in span_recorder.spans} == {"ERROR"}
    task, step, _ = (span.attributes or {} for span in span_recorder.spans)
    assert (task["taskscope.task.outcome"], step["taskscope.step.outcome"]) == (outcome, outcome)
    (told,) = [event for event in span_recorder.events if event.name == "exception"]
    assert told.span_id == 3
    assert told.attributes["error.type"] == error_type
    assert told.attributes["taskscope.step.index"] == 4
    assert told.attributes["taskscope.task.phase"] == "execute"
    assert "test_spans.py" in told.attributes["exception.stacktrace"]


def test_client_tells_of_its_exception_by_the_conventions_name(span_recorder: SpanRecorder) -> None:
    """A GenAI client's exception event is `gen_ai.client.operation.exception`, WARN."""
    with pytest.raises(ConnectionError), spans.chat("gpt", provider="openai"):
        raise ConnectionError("refused")
    (event,) = span_recorder.events
    assert (event.name, event.severity) == ("gen_ai.client.operation.exception", "WARN")


def test_same_exception_object_is_told_again_in_another_trace(span_recorder: SpanRecorder) -> None:
    """An exception that a host keeps and raises in each task is told in each trace."""
    error = ValueError("kept")
    for _ in range(2):
        with pytest.raises(ValueError, match="kept"), spans.task("repair"), spans.tool("files"):
            raise error
    assert [event.name for event in span_recorder.events].count("exception") == 2


def test_healed_failure_stays_where_it_was(span_recorder: SpanRecorder) -> None:
    """An exception that a step catches marks the tool, not the step."""
    with spans.step("edit"), pytest.raises(OSError, match="disk"), spans.tool("files"):
        raise OSError("disk")
    step = only(span_recorder)
    assert "status" not in step
    assert step["children"][0]["status"] == "ERROR: OSError: disk"


def test_hint_of_an_error_is_told(span_recorder: SpanRecorder) -> None:
    """What an error says can be done about it stands on its log record."""
    error = OSError("missing")
    error.hint = "install it"  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="missing"), spans.tool("files"):
        raise error
    assert span_recorder.events[0].attributes["taskscope.error.hint"] == "install it"


@pytest.mark.parametrize(
    "exit_code, is_timed_out, error_type",
    [(0, False, None), (2, False, "2"), (None, False, "timeout"), (-9, True, "timeout")],
)
def test_command_fails_by_its_exit_code(
    span_recorder: SpanRecorder, exit_code: int | None, is_timed_out: bool, error_type: str | None
) -> None:
    """An exit code other than 0 is the `error.type`, a kill is `timeout`; no exception is told."""
    with spans.command("git") as command:
        command.finish(pid=7, exit_code=exit_code, is_timed_out=is_timed_out)
    node = only(span_recorder)
    assert node["attributes"].get("process.exit.code") == exit_code
    assert node["attributes"].get("error.type") == error_type
    assert ("status" in node) == (error_type is not None)
    assert span_recorder.events == []


def test_health_check_is_always_a_root(span_recorder: SpanRecorder) -> None:
    """A health check has a trace of its own and belongs to no task, whoever asked for it."""
    with spans.task("repair"), spans.health_check("disk", group="ready", required=True) as check:
        with spans.command("df"):
            pass
        check.finish("fail", consecutive_failures=2, description="0.4 GB free")
    _, node = span_recorder.tree()
    assert [child["name"] for child in node["children"]] == ["df"]
    assert "taskscope.task.id" not in str(node)
    assert (node["name"], node["status"]) == ("health_check disk", "ERROR: 0.4 GB free")
    assert node["attributes"]["taskscope.health.consecutive_failures"] == 2


def test_later_plan_is_told_as_revised(span_recorder: SpanRecorder) -> None:
    """A plan after the first emits `plan.revised` with its revision, reason and number of steps."""
    for revision in (0, 1):
        with spans.plan("coder", revision=revision) as plan:
            plan.finish(step_count=2)
    (event,) = span_recorder.events
    assert event.name == "taskscope.plan.revised"
    assert event.attributes == {
        "taskscope.plan.revision": 1,
        "taskscope.plan.reason": "replan",
        "taskscope.plan.step_count": 2,
    }


def test_skill_fails_by_its_outcome(span_recorder: SpanRecorder) -> None:
    """A skill that failed is an error, one that had nothing to do is none."""
    for outcome in names.SKILL_OUTCOMES:
        with spans.skill("missing_colon") as skill:
            skill.finish(outcome)
    assert [node.get("status") for node in span_recorder.tree()] == [None, "ERROR", None]


def test_value_outside_of_its_closed_set_is_other(span_recorder: SpanRecorder) -> None:
    """A closed set's attribute says `other` for what is not in the set."""
    with spans.skill("missing_colon") as skill:
        skill.finish("splendid")
    assert only(span_recorder)["attributes"]["taskscope.skill.outcome"] == "other"


class ScriptedPricer:
    """Prices by a table, and remembers what it was asked."""

    def __init__(self, price: Price | Exception) -> None:
        self.price = price
        self.asked: list[tuple[object, ...]] = []

    def __call__(
        self,
        provider: str,
        models: Sequence[str],
        base_url: str | None,
        usage: object,
        /,
        *,
        operation: str,
    ) -> Price:
        self.asked.append((provider, models, base_url, usage, operation))
        if isinstance(self.price, Exception):
            raise self.price
        return self.price


@pytest.fixture
def pricer() -> Iterator[ScriptedPricer]:
    """A pricer that knows the price."""
    pricer = ScriptedPricer(Price(micro_usd=42, price_version="table 1"))
    spans.set_pricer(pricer)
    yield pricer
    spans.set_pricer(None)


def test_live_call_is_priced_by_the_model_that_answered(
    span_recorder: SpanRecorder, pricer: ScriptedPricer
) -> None:
    """A live call carries its cost, and the task the sum of its calls."""
    with spans.task("repair"):
        for _ in range(2):
            with spans.chat("gpt", provider="openai", base_url="https://api.test/v1") as call:
                call.record_usage(input_tokens=10, output_tokens=3, cache_read_tokens=4)
                call.record_response(
                    model="gpt-0613", response_id="r1", finish_reasons=["stop"], retry_count=2
                )
    assert pricer.asked[0] == (
        "openai",
        ("gpt-0613", "gpt"),
        "https://api.test/v1",
        spans.TokenUsage(input_tokens=10, output_tokens=3, cache_read_tokens=4),
        "chat",
    )
    task = only(span_recorder)
    call_attributes = task["children"][0]["attributes"]
    said = {key: value for key, value in call_attributes.items() if "cost" in key or "usage" in key}
    assert said == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "taskscope.cost.status": "known",
        "taskscope.cost.micro_usd": 42,
        "taskscope.cost.price_version": "table 1",
    }
    assert call_attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert call_attributes["taskscope.llm.retry_count"] == 2
    assert task["attributes"]["taskscope.task.cost.micro_usd"] == 84
    assert task["attributes"]["taskscope.task.cost.unpriced_calls"] == 0


def test_unknown_cost_is_never_zero(span_recorder: SpanRecorder, pricer: ScriptedPricer) -> None:
    """A call without a price says why, and the task counts it as unpriced, with no cost of its own."""
    pricer.price = Price(unknown_reason="unknown_model")
    with spans.task("repair"), spans.chat("new", provider="openai"):
        pass
    task = only(span_recorder)
    assert task["children"][0]["attributes"]["taskscope.cost.unknown_reason"] == "unknown_model"
    assert "taskscope.cost.micro_usd" not in task["children"][0]["attributes"]
    assert "taskscope.task.cost.micro_usd" not in task["attributes"]
    assert task["attributes"]["taskscope.task.cost.unpriced_calls"] == 1


@pytest.mark.parametrize("reported, reason", [(None, "call_failed"), (3, None)])
def test_cost_of_a_failed_call_is_unknown_unless_tokens_were_reported(
    span_recorder: SpanRecorder, pricer: ScriptedPricer, reported: int | None, reason: str | None
) -> None:
    """A call that failed before any usage came says so, whatever the prices are; with usage it is priced."""
    pricer.price = Price(micro_usd=84, price_version="table 1")
    with contextlib.suppress(ConnectionError), spans.chat("gpt", provider="openai") as call:
        if reported is not None:
            call.record_usage(input_tokens=reported, output_tokens=reported)
        raise ConnectionError
    said = only(span_recorder)["attributes"]
    assert said.get("taskscope.cost.unknown_reason") == reason
    assert said.get("taskscope.cost.micro_usd") == (None if reason else 84)


@pytest.mark.parametrize(
    "call",
    [
        spans.chat("gpt", provider="openai", mode="replay"),
        spans.chat("m", provider="local"),
        spans.embeddings("hash"),
    ],
    ids=["replay", "in process", "own embedder"],
)
def test_what_leaves_no_process_has_no_cost(
    span_recorder: SpanRecorder, pricer: ScriptedPricer, call: spans.ModelSpan
) -> None:
    """Replay and models in this process carry no cost attribute, and count in no task's cost."""
    with spans.task("repair"), call:
        call.record_usage(input_tokens=10, output_tokens=3)
    task = only(span_recorder)
    carried = {*task["attributes"], *task["children"][0]["attributes"]}
    assert not {key for key in carried if "cost" in key}
    assert pricer.asked == []


def test_refused_call_is_not_priced(span_recorder: SpanRecorder, pricer: ScriptedPricer) -> None:
    """At a used up budget the model was not asked, so nothing is unknown about what that cost."""

    class UsedUpError(Exception):
        error_type = "budget_exceeded"

    with spans.task("repair"), contextlib.suppress(UsedUpError), spans.chat("gpt", provider="openai"):
        raise UsedUpError
    task = only(span_recorder)
    carried = {*task["attributes"], *task["children"][0]["attributes"]}
    assert task["children"][0]["attributes"]["error.type"] == "budget_exceeded"
    assert not {key for key in carried if "cost" in key}
    assert pricer.asked == []


def test_pricer_that_fails_does_not_hurt(span_recorder: SpanRecorder, pricer: ScriptedPricer) -> None:
    """When pricing breaks, the cost is unknown for want of price data."""
    pricer.price = RuntimeError("broken table")
    with spans.chat("gpt", provider="openai") as call:
        call.record_usage(input_tokens=1, output_tokens=1)
    assert only(span_recorder)["attributes"]["taskscope.cost.unknown_reason"] == "no_price_data"


def test_credentials_of_an_address_are_not_recorded(span_recorder: SpanRecorder) -> None:
    """Of a base URL only host and port are recorded, of a broken one nothing."""
    for url in ("https://user:secret@api.test/v1?key=secret", "http://[broken"):
        with spans.chat("gpt", provider="openai", base_url=url):
            pass
    good, broken = span_recorder.tree()
    assert (good["attributes"]["server.address"], good["attributes"]["server.port"]) == ("api.test", 443)
    assert "secret" not in str(good)
    assert "server.address" not in broken["attributes"]
