"""The table of the coding agent: each row is a real method, and a real task makes the contract's tree."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from coding_agent.build import build_agent
from coding_agent.records import AgentSettings, Task
from taskscope.instrumentation._patch import find_owner
from taskscope.instrumentation.coding_agent import TABLE
from taskscope.instrumentation.registry import instrument, uninstrument
from taskscope.semconv import attributes as attr
from taskscope.telemetry import calls, spans
from taskscope.telemetry.guard import drain_errors
from taskscope.testing import SpanRecorder
from tests.docs.spans_page import read_others, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.agent import Agent
    from coding_agent.records import Outcome

KNOWN_KEYS = {value for name, value in vars(attr).items() if name.isupper()}


@dataclass(frozen=True)
class Runs:
    """The same repair twice by the real agent: observed, then built while observed and run unobserved."""

    observed: Outcome
    recorder: SpanRecorder
    errors: dict[tuple[str, str], int]
    unobserved: Outcome
    later: SpanRecorder
    shop: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A real repair takes seconds, so that all tests look at the same two."""
    shop = make_shop(tmp_path_factory.mktemp("work") / "shop")
    drain_errors()
    instrument("coding_agent")
    with SpanRecorder() as recorder:
        observed = work(build(shop, tmp_path_factory.mktemp("home")), shop)
    agent = build(shop, tmp_path_factory.mktemp("home"))
    uninstrument()
    with SpanRecorder() as later:
        unobserved = work(agent, shop)
    return Runs(observed, recorder, drain_errors(), unobserved, later, shop)


def make_shop(folder: Path) -> Path:
    """Make a repository whose function lacks its colon."""
    folder.mkdir()
    (folder / "shop.py").write_text("def total(prices)\n    return sum(prices)\n")
    (folder / "test_shop.py").write_text(
        "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    )
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for arguments in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "-m", "shop")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def task_for(shop: Path) -> Task:
    return Task(id="t-1", text="repair the shop", repository=shop)


def build(shop: Path, home: Path) -> Agent:
    return build_agent(task_for(shop), AgentSettings(home=home))


def work(agent: Agent, shop: Path) -> Outcome:
    """Let the agent do the task inside of its span, as the runner does."""
    with spans.task("repair", task_id="t-1") as span:
        outcome = agent.run(task_for(shop))
        span.finish(outcome.outcome.value, verification=outcome.verification.value)
    return outcome


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.module}.{row.path}")
def test_row_names_a_real_method(row: Any) -> None:
    """Each row names a function or method that the agent's code defines."""
    owner, name = find_owner(row)
    assert callable(getattr(owner, name))


def test_no_method_stands_in_two_rows() -> None:
    """A method is wrapped once."""
    assert len({(row.module, row.path) for row in TABLE}) == len(TABLE)


def outline(nodes: list[dict[str, Any]], depth: int = 0) -> list[str]:
    """Return the tree without programs, embeddings and files: what the contract's picture shows."""
    hidden = ("git", "python", "ruff", "embeddings", "execute_tool files", "execute_tool git")
    lines = []
    for node in nodes:
        if not node["name"].startswith(hidden):
            lines.append("  " * depth + node["name"])
        lines += outline(node.get("children", []), depth + 1)
    return lines


PICTURE = """\
invoke_workflow repair
  invoke_agent coder
    execute_tool worktree
    index skills
    search_memory
    index codebase
    retrieval codebase
      bm25 codebase
      vector codebase
      fuse
    step lint
      execute_tool shell
      execute_tool ruff
    plan coder
      retrieval skills
    step skill
      execute_tool skill missing_colon
        execute_tool shell
    step lint
      execute_tool shell
      execute_tool ruff
    step test
      execute_tool pytest
    execute_tool worktree
    upsert_memory
  step verify
    execute_tool pytest
  upsert_memory
  upsert_memory"""


def test_task_by_rules_makes_the_tree_of_the_contract(runs: Runs) -> None:
    """A real repair by rules is the contract's tree."""
    assert (runs.observed.outcome, runs.observed.verification) == ("succeeded", "passed")
    assert "\n".join(outline(runs.recorder.tree())) == PICTURE


def test_spans_of_a_task_belong_to_it_and_claim_no_model(runs: Runs) -> None:
    """Each span names the task, has known keys only, and by rules there is neither an LLM span nor a cost."""
    for span in runs.recorder.spans:
        attributes = span.attributes or {}
        assert attributes["taskscope.task.id"] == "t-1"
        assert set(attributes) <= KNOWN_KEYS
        assert attributes.get("gen_ai.operation.name") != "chat"
        assert "cost" not in " ".join(attributes)


def test_the_page_of_spans_tells_what_they_say(runs: Runs) -> None:
    """Each attribute of a real span stands in the span's row of docs/spans.md."""
    rows, others = read_rows(), read_others()
    for span in runs.recorder.spans:
        said = set(span.attributes or {})
        word = "{executable}" if attr.PROCESS_EXECUTABLE_NAME in said else span.name.split()[0]
        assert said - others <= rows[word], span.name


def test_steps_are_numbered_through_the_task(runs: Runs) -> None:
    """The index of a step counts from 0 through all rounds."""
    found = [span.attributes or {} for span in runs.recorder.spans if span.name.startswith("step ")]
    assert [attributes["taskscope.step.index"] for attributes in found] == list(range(len(found)))


def test_program_tells_how_it_ended_but_not_its_arguments(runs: Runs) -> None:
    """A program is a CLIENT span with name, pid and exit code; arguments and folders are not recorded."""
    programs = [span for span in runs.recorder.spans if span.name in {"git", "python", "ruff"}]
    assert {span.name for span in programs} == {"git", "python", "ruff"}
    for span in programs:
        attributes = dict(span.attributes or {})
        assert span.kind.name == "CLIENT"
        assert attributes["process.executable.name"] == span.name
        assert isinstance(attributes["process.pid"], int)
        assert isinstance(attributes["process.exit.code"], int)
    assert str(runs.shop) not in str(runs.recorder.tree())


def test_nothing_inside_the_observer_failed(runs: Runs) -> None:
    """A whole task leaves no internal error and no open span."""
    assert runs.errors == {}
    runs.recorder.assert_nothing_leaks()


def test_agent_that_is_not_observed_makes_no_span(runs: Runs) -> None:
    """After `uninstrument` even parts that still hold a wrapper make no span, and no wrapper is left."""
    assert [span.name for span in runs.later.spans] == ["invoke_workflow repair"]
    for row in TABLE:
        owner, name = find_owner(row)
        assert vars(owner)[name].__code__.co_filename != calls.__file__


def test_observed_agent_does_the_same(runs: Runs) -> None:
    """What the agent does and says is the same, observed or not."""
    assert runs.observed == runs.unobserved
