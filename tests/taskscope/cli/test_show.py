"""`show` and its JSON, on stores written by the real writer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.semconv import attributes as attr
from taskscope.store.records import TaskNote
from tests.taskscope.cli import stores
from tests.taskscope.cli.stores import shown

if TYPE_CHECKING:
    from pathlib import Path

NOTE = TaskNote(
    stores.TASK_ID,
    text="make the tests pass",
    repository="/src/shop",
    model="rules",
    summary="Put a colon after the loop.\nImported Path.",
    patch_path="/home/me/.taskscope/tasks/t 1/changes.patch",
)
SHOWN = """\
t-01KAAAAAAA  succeeded, the repository's own checks pass
task      make the tests pass
in        /src/shop
started   2025-11-21 10:13:20 UTC, took 10.0 s
model     rules
did       Put a colon after the loop.
          Imported Path.

time      by kind of span, each without what ran below it
   66 %     6.60 s  programs  (python 6.50 s in 1, ruff 100 ms in 1)
   30 %     3.04 s  the agent itself  (4 spans)
    3 %     300 ms  tools and skills  (2 spans)
    0 %      30 ms  indexing  (1 span)
    0 %      20 ms  planning  (1 span)
    0 %     4.0 ms  retrieval  (2 spans)
    0 %     2.0 ms  memory  (1 span)
tokens    no LLM calls
cost      none: no LLM calls
patch     git -C /src/shop apply '/home/me/.taskscope/tasks/t 1/changes.patch'

✓ invoke_workflow repair  10.0 s
├─ ✓ invoke_agent coder  1.90 s
│  ├─ ✓ search_memory  2.0 ms
│  ├─ ✓ index codebase  30 ms
│  ├─ ✓ retrieval codebase  4.0 ms  8 results
│  │  └─ ✓ bm25 codebase  1.0 ms
│  ├─ ✓ step lint  250 ms
│  │  └─ ✓ execute_tool ruff  200 ms
│  │     └─ ✓ ruff  100 ms  exit 1
│  └─ ✓ plan coder  20 ms  1 step
└─ ✓ step verify  6.90 s
   └─ ✓ execute_tool pytest  6.70 s
      └─ ✓ python  6.50 s
"""


def test_show(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """First how it ended, then where the time went, tokens, cost and the patch, then the tree."""
    stores.fill(home, NOTE, *stores.make_repair())
    assert shown(capsys, "show") == SHOWN


def test_show_in_ascii(home: Path) -> None:
    """Where the terminal has no Unicode, the tree is drawn in ASCII."""
    stores.fill(home, *stores.make_repair())
    done = stores.run_taskscope("show", home=home, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "`- + step verify  6.90 s\n   `- + execute_tool pytest" in done.stdout
    assert done.stdout.isascii()


def test_show_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show --json` is the task's span with its children nested; the shape is a promise."""
    stores.fill(home, NOTE, *stores.make_repair())
    top = json.loads(shown(capsys, "show", "--json"))
    lint = top["children"][0]["children"][3]
    assert lint == {
        "span_id": "0000000000000007",
        "parent_id": "0000000000000002",
        "name": "step lint",
        "kind": "INTERNAL",
        "status": "UNSET",
        "attributes": {
            "taskscope.step.kind": "lint",
            "taskscope.task.id": stores.TASK_ID,
            "taskscope.task.kind": "repair",
        },
        "started_at": "2025-11-21T10:13:21.000000Z",
        "ended_at": "2025-11-21T10:13:21.250000Z",
        "duration_s": 0.25,
        "children": lint["children"],
    }
    assert [child["name"] for child in lint["children"]] == ["execute_tool ruff"]
    assert top["parent_id"] is None


def test_show_json_while_it_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An open span has null for its end and its duration."""
    with stores.writing(home) as ingest:
        ingest.write(stores.make_begun())
        top = json.loads(shown(capsys, "show", "--json"))
    assert (top["ended_at"], top["duration_s"], top["status"]) == (None, None, "UNSET")


def test_show_while_it_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that runs is said to run, and so are its open spans, with since when."""
    with stores.writing(home) as ingest:
        ingest.write(stores.make_begun())
        lines = shown(capsys, "show", stores.TASK_ID[:6]).splitlines()
    assert lines[0].startswith("t-01KAAAAAAA  running ")
    assert any(
        line.startswith("      └─ … python  running ") or "… python  running " in line for line in lines
    )


def test_show_interrupted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task whose process was killed shows as interrupted, with all that it had done and where it died."""
    stores.fill_and_die(home)
    text = shown(capsys, "show")
    assert text.startswith("t-01KAAAAAAA  interrupted: its process died\n")
    assert "why       its process died in python, begun 2025-11-21 10:13:21 UTC" in text
    assert "✓ search_memory  2.0 ms" in text
    assert text.count("⚡") == 5


def test_show_failure(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed task says why, in which phase, what to do, and what is left; it could be shown, so exit 0."""
    error = {
        "type": "verification_failed",
        "message": "the checks failed",
        "phase": "verify",
        "hint": "look at it",
    }
    finding = {
        "rule": "test/assertion",
        "message": "assert 1 == 2\nmore",
        "path": "tests/test_a.py",
        "line": 3,
    }
    note = TaskNote(stores.TASK_ID, error=json.dumps(error), findings=json.dumps([finding] * 14))
    stores.fill(home, note, *stores.make_repair("failed"))
    text = shown(capsys, "show")
    assert text.startswith("t-01KAAAAAAA  failed, the repository's own checks do not pass\n")
    assert "why       verification_failed in phase verify: the checks failed\n          look at it\n" in text
    assert "findings  14\n  test/assertion  tests/test_a.py:3  assert 1 == 2\n" in text
    assert "  and 2 more: `show --json` has them all\n" in text
    assert "✗ invoke_workflow repair  10.0 s  failed" in text


def make_call(number: int, **facts: Any) -> Any:
    """A call of a model below the plan."""
    keys = {attr.GEN_AI_OPERATION_NAME: "chat", attr.LLM_MODE: "live"}
    return stores.make_span(number, "chat m-1", 10, (1.5, 1.51), keys | facts, kind=3)


PRICED = {
    attr.GEN_AI_USAGE_INPUT_TOKENS: 1200,
    attr.GEN_AI_USAGE_OUTPUT_TOKENS: 34,
    attr.COST_STATUS: "known",
    attr.COST_MICRO_USD: 1234,
}
SYNTHETIC = (
    "1 LLM call (1 replayed from a synthetic recording: nobody's answer, written by hand), "
    "no token counts given"
)
UNPRICED = {attr.COST_STATUS: "unknown", attr.COST_UNKNOWN_REASON: "unknown_model"}


@pytest.mark.parametrize(
    "calls, tokens, cost",
    [
        ([PRICED], "1 LLM call, 1,200 in, 34 out", "0.001234 USD"),
        ([UNPRICED], "1 LLM call, no token counts given", "unknown: 1 call without a price (unknown model)"),
        (
            [PRICED, UNPRICED],
            "2 LLM calls, 1,200 in, 34 out",
            "unknown: 1 call without a price (unknown model); the others cost 0.001234 USD",
        ),
        (
            [{attr.LLM_MODE: "replay"}],
            "1 LLM call (1 replayed from a recording), no token counts given",
            "none: what a recording answers costs nothing now",
        ),
        (
            [{attr.LLM_MODE: "replay", attr.LLM_ORIGIN: "synthetic"}],
            SYNTHETIC,
            "none: what a recording answers costs nothing now",
        ),
        (
            [{attr.GEN_AI_PROVIDER_NAME: "local"}],
            "1 LLM call, no token counts given",
            "none: no call left this process",
        ),
    ],
)
def test_tokens_and_cost(
    home: Path, capsys: pytest.CaptureFixture[str], calls: list[dict[str, Any]], tokens: str, cost: str
) -> None:
    """What is not known is called unknown, and what was replayed says so; neither is ever a number."""
    spans = [make_call(20 + index, **facts) for index, facts in enumerate(calls)]
    stores.fill(home, *spans, *stores.make_repair())
    text = shown(capsys, "show")
    assert f"tokens    {tokens}\ncost      {cost}\n" in text


def test_hostile_content(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is recorded in names, texts, errors and findings commands no terminal and breaks no JSON."""
    evil = "\x1b]8;;https://example.invalid\x07x\x9b2J\u202e\x7f"
    error = {"type": evil, "message": evil, "phase": evil, "hint": evil}
    facts: dict[str, Any] = {evil: evil}
    note = TaskNote(
        stores.TASK_ID,
        text=evil,
        repository=evil,
        model=evil,
        summary=evil,
        patch_path=evil,
        error=json.dumps(error),
        findings=json.dumps([{"rule": evil, "message": evil, "path": evil}]),
    )
    named = stores.make_span(30, evil, 1, (1, 2), {attr.ERROR_TYPE: evil, attr.PROCESS_EXECUTABLE_NAME: evil})
    stores.fill(home, note, named, *stores.make_repair("failed"), stores.make_log(1, None, evil, **facts))
    for command in ("show", "history", "logs", "status"):
        assert all(line.isprintable() for line in shown(capsys, command).splitlines())
        text = shown(capsys, command, "--json")
        assert text.isascii()
        assert "\x7f" not in text
        json.loads(text)
    assert all(line.isprintable() for line in shown(capsys, "watch", code=1).splitlines())


def test_deep_trees(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tree of three thousand levels is shown whole, as text and as JSON."""
    chain = [stores.make_span(100 + n, f"level {n}", 99 + n if n else 1, (1, 2)) for n in range(3000)]
    stores.fill(home, *chain, stores.make_task((0, 10), "succeeded"))
    assert shown(capsys, "show").count("level ") == 3000
    assert shown(capsys, "show", "--json").count('"name": "level ') == 3000


def test_values_that_json_lacks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes are hex; NaN and infinity are words, since JSON has no such numbers."""
    facts = {"b": b"\x01\xff", "n": float("nan"), "i": [float("inf"), 1.5], "m": {"z": 1, "a": None}}
    stores.fill(home, stores.make_task((0, 10), "succeeded", attributes=facts))
    attributes = json.loads(shown(capsys, "show", "--json"))["attributes"]
    assert [attributes[key] for key in "bnim"] == ["01ff", "nan", ["inf", 1.5], {"a": None, "z": 1}]
