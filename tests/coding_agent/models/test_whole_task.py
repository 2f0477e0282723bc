"""Whole tasks by a model: the agent as it is put together, with a provider on a local port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.build import build_agent
from coding_agent.errors import BudgetExceededError
from coding_agent.records import Outcome, TaskOutcome
from tests.coding_agent.repositories import make_repository, make_settings, make_task
from tests.providers import ScriptedProvider, call_tool, chat_completion

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.protocols import ModelGate

pytestmark = pytest.mark.usefixtures("_lean_pytest", "_known_pytest")

CART = """\
class Cart:
    pass


def total(prices):
    return sum(prices) * 2
"""
# The message of this failure holds a temporary folder and, cut by pytest, the address of an object.
TEST = """\
from cart import Cart, total


def test_total(tmp_path):
    cart = Cart()
    assert (total([1]), str(tmp_path), cart) == (1, str(tmp_path), cart)
"""

MEND = chat_completion(
    None, [call_tool("edit_file", {"path": "cart.py", "old": " * 2", "new": "", "finding": 1})]
)

GIVE_UP = chat_completion(None, [call_tool("give_up", {"reason": "which rate?"})])


FAILING = ("false",)
"""A suite that fails at once, where what it says is not the law."""


def work(
    place: Path,
    model: str,
    gate: ModelGate | None = None,
    *,
    test_command: tuple[str, ...] = (),
    **settings: object,
) -> Outcome:
    """Run one task in a repository and a home of its own."""
    repository = make_repository(place / "shop", {"cart.py": CART, "test_cart.py": TEST})
    task = make_task(repository, text="Make the total right.", model=model, test_command=test_command)
    return build_agent(task, make_settings(place / "home", **settings), gate=gate).run(task)


def test_recorded_task_replays_elsewhere_to_the_same_patch(tmp_path: Path) -> None:
    """A live model mends the code, the tests pass, and its recording does the same in another folder."""
    recording = tmp_path / "recording.jsonl"
    with ScriptedProvider([MEND]) as provider:
        live = work(
            tmp_path / "here",
            "openai:m",
            openai_base_url=provider.openai_url,
            record_model_to=recording,
            max_rounds=1,
        )
    again = work(tmp_path / "else" / "where", f"replay:{recording}", live_models=False, max_rounds=1)
    assert live.outcome is again.outcome is TaskOutcome.SUCCEEDED
    assert live.patch == again.patch
    assert "-    return sum(prices) * 2\n+    return sum(prices)\n" in live.patch


def test_answer_left_over_fails_the_task(tmp_path: Path) -> None:
    """A recording that holds more than the task asks for is of another task."""
    recording = tmp_path / "recording.jsonl"
    with ScriptedProvider([GIVE_UP]) as provider:
        url = provider.openai_url
        work(
            tmp_path / "here",
            "openai:m",
            test_command=FAILING,
            openai_base_url=url,
            record_model_to=recording,
        )
    lines = recording.read_text("utf-8").splitlines(keepends=True)
    recording.write_text("".join([*lines, lines[-1]]), "utf-8")
    outcome = work(tmp_path / "there", f"replay:{recording}", test_command=FAILING)
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.type) == (TaskOutcome.FAILED, "replay_mismatch")
    assert "1 of 2 answers were not asked for" in outcome.error.message


def test_spent_budget_stops_the_task_before_its_call(tmp_path: Path) -> None:
    """At the cap the provider is not asked, and the outcome says why."""

    def spent(*, provider: str, model: str, base_url: str | None) -> None:
        msg = f"no call to {model!r} of {provider} at {base_url}: the budget is used up"
        raise BudgetExceededError(msg)

    with ScriptedProvider([MEND]) as provider:
        outcome = work(tmp_path, "openai:m", spent, test_command=FAILING, openai_base_url=provider.openai_url)
    assert provider.received == []
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.type) == (TaskOutcome.STOPPED, "budget_exceeded")
