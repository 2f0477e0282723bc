"""Plans by a model: the real planner, tools and skills, and a provider on a local port."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import ModelError, ReplayMismatchError
from coding_agent.limits import TaskLimits
from coding_agent.models import ReplayModel, build_model
from coding_agent.planning.edit import apply_edit
from coding_agent.planning.model import ModelPlanner
from coding_agent.records import (
    AgentSettings,
    Finding,
    Passage,
    Plan,
    PlannedStep,
    StepKind,
    StepOutcome,
    Task,
)
from coding_agent.skills.library import SHIPPED, FolderLibrary
from coding_agent.tools.workbench import build_workbench
from tests.providers import Answer, ScriptedProvider, call_tool, chat_completion, message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coding_agent.protocols import Model, Workbench

CART = "def total(prices)\n    return sum(prices) * 2\n"
TEST = "from cart import total\n\n\ndef test_total():\n    assert total([1]) == 1\n"

COLON = Finding(rule="syntax/expected-colon", message="expected ':'", path="cart.py", line=1, column=18)
FAILURE = Finding(
    rule="test/assertion",
    message="assert 2 == 1",
    path="cart.py",
    line=2,
    data={"test": "test_cart.py::test_total", "error": "AssertionError", "text": "assert 2 == 1"},
)

GIVE_UP = call_tool("give_up", {"reason": "no"})
MEND_COLON = call_tool("run_skill", {"skill": "missing_colon", "finding": 1})
MEND_SUM = call_tool("edit_file", {"path": "cart.py", "old": " * 2", "new": "", "finding": 2}, id="call_2")


@dataclass(frozen=True)
class Shop:
    """A small target, and the planner's view of it."""

    bench: Workbench
    task: Task
    settings: AgentSettings

    def planner(self, model: Model, passages: Sequence[Passage] = ()) -> ModelPlanner:
        return ModelPlanner(model, self.library, self.bench.files, self.bench.root, lambda: passages)

    @property
    def library(self) -> FolderLibrary:
        """One skill, so that a new one in the package does not change what a model is offered here."""
        folder = self.settings.home / "shipped"
        shutil.copytree(SHIPPED / "missing_colon", folder / "missing_colon", dirs_exist_ok=True)
        return FolderLibrary(self.settings.home / "skills", shipped=folder)


def open_shop(root: Path, home: Path) -> Shop:
    root.mkdir(parents=True)
    (root / "cart.py").write_text(CART, "utf-8")
    (root / "test_cart.py").write_text(TEST, "utf-8")
    task = Task(id="t-1", text="Make the total right.", repository=root)
    settings = AgentSettings(home=home)
    return Shop(build_workbench(root, task, settings, TaskLimits(None)), task, settings)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return open_shop(tmp_path / "shop", tmp_path / "home")


def ask(
    shop: Shop, *answers: Answer, findings: Sequence[Finding] = (COLON, FAILURE), revision: int = 0
) -> tuple[Plan, ScriptedProvider]:
    """Plan with the live adapter against the scripted provider."""
    with ScriptedProvider(answers) as provider:
        settings = AgentSettings(home=shop.settings.home, openai_base_url=provider.openai_url)
        with closing(build_model("openai:scripted", settings)) as model:
            return shop.planner(model).plan(shop.task, findings, revision=revision), provider


def test_tool_calls_become_the_steps_of_a_plan(shop: Shop) -> None:
    """A skill on its finding, then an edit with its arguments, in the order of the calls."""
    plan, _ = ask(shop, chat_completion(None, [MEND_COLON, MEND_SUM]))
    assert plan == Plan(
        steps=(
            PlannedStep(
                kind=StepKind.SKILL,
                title="missing_colon: expected ':' (cart.py:1:18)",
                skill="missing_colon",
                finding=COLON,
            ),
            PlannedStep(
                kind=StepKind.EDIT,
                title="edit cart.py",
                finding=FAILURE,
                arguments={"path": "cart.py", "old": " * 2", "new": ""},
            ),
        ),
        source="llm",
    )


def test_request_shows_what_the_model_needs(shop: Shop) -> None:
    """Task, findings with the skills that treat them, the code around them and the failing test."""
    _, provider = ask(shop, chat_completion(None, [MEND_COLON]))
    messages = provider.received[0].body["messages"]
    assert isinstance(messages, list)
    assert [turn["role"] for turn in messages] == ["system", "user"]
    description = shop.library.get("missing_colon").description
    assert messages[1]["content"] == (
        "# Task\n\nMake the total right.\n\n# Findings\n\n"
        "1. syntax/expected-colon at cart.py:1:18: expected ':'\n"
        f"   skill missing_colon: {description}\n"
        "2. test/assertion at cart.py:2: assert 2 == 1\n"
        "   test_cart.py::test_total\n"
        "\n# Planned in earlier rounds\n\nnone\n\n# Passages\n\n"
        f"cart.py, lines 1 to 3:\n````\n{CART}\n````\n\n"
        f"test_cart.py, lines 1 to 6:\n````\n{TEST}\n````"
    )


def test_only_offered_tools_are_named(shop: Shop) -> None:
    """Without a skill for any finding the model is not told that skills can be run."""
    _, provider = ask(shop, chat_completion(None, [GIVE_UP]), findings=[FAILURE])
    tools = provider.received[0].body["tools"]
    assert isinstance(tools, list)
    assert [tool["function"]["name"] for tool in tools] == ["edit_file", "give_up"]


def test_giving_up_is_a_plan_without_steps(shop: Shop) -> None:
    """Its reason stands among the findings, so that the person reads it."""
    plan, _ = ask(shop, chat_completion(None, [call_tool("give_up", {"reason": "which rate?"})]))
    assert plan.steps == ()
    assert plan.untreated == (COLON, FAILURE, Finding(rule="model/gave-up", message="which rate?"))


@pytest.mark.parametrize(
    "calls, complaint",
    [
        ([], "it holds no tool call"),
        (
            [call_tool("rm", {})],
            "call 1, rm: there is no such tool, expected 'run_skill', 'edit_file' or 'give_up'",
        ),
        ([call_tool("run_skill", {"skill": "missing_colon"})], "expected ['finding', 'skill']"),
        ([call_tool("run_skill", "{")], "its arguments are ['malformed_arguments']"),
        ([call_tool("run_skill", {"skill": "missing_colon", "finding": "1"})], "expected a whole number"),
        ([call_tool("run_skill", {"skill": "missing_colon", "finding": True})], "expected a whole number"),
        ([call_tool("run_skill", {"skill": "missing_colon", "finding": 0})], "there is no finding 0"),
        ([call_tool("run_skill", {"skill": "missing_colon", "finding": 3})], "they count from 1 to 2"),
        ([call_tool("run_skill", {"skill": "x", "finding": 1})], "offered: 'missing_colon'"),
        ([call_tool("run_skill", {"skill": "missing_colon", "finding": 2})], "offered: none"),
        ([call_tool("edit_file", {"path": "none.py", "old": "a", "new": "b"})], "there is no file 'none.py'"),
        ([call_tool("edit_file", {"path": "../x.py", "old": "a", "new": "b"})], "there is no file '../x.py'"),
        ([call_tool("edit_file", {"path": ".git/config", "old": "a", "new": "b"})], "there is no file"),
        (
            [call_tool("edit_file", {"path": "cart.py", "old": "s", "new": "b"})],
            "stands in 'cart.py' 3 times",
        ),
        (
            [call_tool("edit_file", {"path": "cart.py", "old": "zzz", "new": "b"})],
            "stands in 'cart.py' 0 times",
        ),
        ([call_tool("edit_file", {"path": "cart.py", "old": "", "new": "b"})], "needs an old text"),
        ([MEND_SUM, MEND_SUM], "call 2, edit_file: the old text stands in 'cart.py' 0 times"),
        ([call_tool("give_up", {"reason": "x"}), MEND_COLON], "give_up stands alone or not at all"),
    ],
)
def test_malformed_answer_is_refused_once_with_its_reasons(
    shop: Shop, calls: Sequence[object], complaint: str
) -> None:
    """The model is told what is wrong, call by call, and its second answer counts."""
    first = chat_completion("Hm.", calls)  # type: ignore[arg-type]
    plan, provider = ask(shop, first, chat_completion(None, [MEND_COLON]))
    assert [step.skill for step in plan.steps] == ["missing_colon"]
    turns = provider.received[1].body["messages"]
    assert isinstance(turns, list)
    refusals = turns[3:]
    assert complaint in refusals[0]["content"]
    assert [turn["role"] for turn in refusals] == (["tool"] * len(calls) or ["user"])


def test_second_malformed_answer_ends_the_task(shop: Shop) -> None:
    """After one repair turn the model is not asked again, and what was wrong is said."""
    nothing = chat_completion(None)
    with pytest.raises(ModelError, match=r"model 'scripted' gave no plan .*: it holds no tool call"):
        ask(shop, nothing, nothing, chat_completion(None, [MEND_COLON]))


def test_anthropic_gets_a_refusal_that_its_api_takes(shop: Shop) -> None:
    """An empty answer is answered in turn: user, assistant, user, none of them empty."""
    with ScriptedProvider([message(None), message(None, [MEND_COLON])]) as provider:
        settings = AgentSettings(home=shop.settings.home, anthropic_base_url=provider.url)
        with closing(build_model("anthropic:scripted", settings)) as model:
            plan = shop.planner(model).plan(shop.task, [COLON], revision=0)
    turns = provider.received[1].body["messages"]
    assert isinstance(turns, list)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert all(turn["content"] for turn in turns)
    assert len(plan.steps) == 1


def test_nothing_is_asked_when_nothing_is_left(shop: Shop) -> None:
    """After the first round a plan without findings costs no call."""
    plan, provider = ask(shop, findings=[], revision=1)
    assert (plan.steps, plan.reason, provider.received) == ((), "replan", [])


def test_task_without_findings_is_asked_for_once(shop: Shop) -> None:
    """A wish that breaks no test is still the model's business in the first round."""
    edit = call_tool("edit_file", {"path": "cart.py", "old": "prices)\n", "new": "prices):\n"})
    plan, _ = ask(shop, chat_completion(None, [edit]), findings=[])
    assert [step.finding for step in plan.steps] == [None]


def test_lint_that_nobody_asked_for_is_not_shown(shop: Shop) -> None:
    """A stranger's style is no reason to pay for a call."""
    unused = Finding(rule="ruff/F401", message="unused import", path="cart.py", line=1)
    _, provider = ask(shop, findings=[unused], revision=1)
    assert provider.received == []


def test_model_is_told_what_was_planned_before(shop: Shop) -> None:
    """A second round names the steps of the first, so that the model does not repeat itself."""
    answers = [chat_completion(None, [MEND_COLON]), chat_completion(None, [MEND_COLON])]
    with ScriptedProvider(answers) as provider:
        settings = AgentSettings(home=shop.settings.home, openai_base_url=provider.openai_url)
        with closing(build_model("openai:scripted", settings)) as model:
            planner = shop.planner(model)
            planner.plan(shop.task, [COLON], revision=0)
            planner.plan(shop.task, [COLON], revision=1)
    assert "# Planned in earlier rounds\n\n- missing_colon: expected ':'" in str(
        provider.received[1].body["messages"]
    ).replace("\\n", "\n").replace("\\'", "'")


def test_captured_recording_replays_to_an_equal_plan_elsewhere(tmp_path: Path) -> None:
    """Another folder, home and run of the tests: the same recording gives the same plan."""
    recording = tmp_path / "recording.jsonl"
    answers = [chat_completion(None), chat_completion(None, [MEND_COLON, MEND_SUM])]
    plans = []
    with ScriptedProvider(answers) as provider:
        here = open_shop(tmp_path / "here" / "shop", tmp_path / "home")
        settings = AgentSettings(
            home=here.settings.home, openai_base_url=provider.openai_url, record_model_to=recording
        )
        with closing(build_model("openai:scripted", settings)) as model:
            plans.append(here.planner(model).plan(here.task, _findings(here, run=1), revision=0))
    there = open_shop(tmp_path / "there" / "tree", tmp_path / "another" / "home")
    with closing(ReplayModel(recording)) as replay:
        plans.append(there.planner(replay).plan(there.task, _findings(there, run=2), revision=0))
    assert [step.arguments for step in plans[0].steps] == [step.arguments for step in plans[1].steps]
    assert (
        [step.skill for step in plans[0].steps]
        == [step.skill for step in plans[1].steps]
        == ["missing_colon", None]
    )
    assert str(tmp_path) not in recording.read_text("utf-8")


def _findings(shop: Shop, *, run: int) -> list[Finding]:
    """What tools report holds the place of the work tree, pytest's run and addresses of objects."""
    root = shop.bench.root
    temporary = f"/tmp/pytest-of-me/pytest-{run}/test_0 and /tmp/tmpabcdef0{run}"
    text = f"{root}/cart.py: <Cart at 0x7f00000{run}> in {temporary}, (2, '/x...7f31c{run}>)"
    return [COLON, Finding(rule="test/other", message=f"in {root}", path="cart.py", data={"text": text})]


def test_changed_code_makes_a_recording_unreplayable(tmp_path: Path) -> None:
    """Replay is for the repository that was recorded: another text of a file is another request."""
    recording = tmp_path / "recording.jsonl"
    here = open_shop(tmp_path / "shop", tmp_path / "home")
    with ScriptedProvider([chat_completion(None, [MEND_COLON])]) as provider:
        settings = AgentSettings(
            home=here.settings.home, openai_base_url=provider.openai_url, record_model_to=recording
        )
        with closing(build_model("openai:scripted", settings)) as model:
            here.planner(model).plan(here.task, [COLON], revision=0)
    (here.bench.root / "cart.py").write_text(CART.replace("prices", "costs"), "utf-8")
    with pytest.raises(
        ReplayMismatchError, match=r"messages\[1\]\.content: recorded .*prices.*, asked .*costs"
    ):
        here.planner(ReplayModel(recording)).plan(here.task, [COLON], revision=0)


def test_planned_edit_is_carried_out_as_planned(shop: Shop) -> None:
    """The step says what was done to which file, and the file holds it."""
    plan, _ = ask(shop, chat_completion(None, [MEND_COLON, MEND_SUM]))
    result = apply_edit(plan.steps[1], shop.bench)
    assert (result.outcome, result.files_changed) == (StepOutcome.SUCCEEDED, ("cart.py",))
    assert (shop.bench.root / "cart.py").read_text("utf-8") == CART.replace(" * 2", "")


def test_passages_of_retrieval_stand_behind_those_of_findings(shop: Shop) -> None:
    """Each place is shown once, the code at a finding first."""
    found = [
        Passage(path="cart.py", start_line=1, end_line=3, text=CART, score=0.1),
        Passage(path="readme.md", start_line=1, end_line=1, text="Sums up.", score=0.9),
    ]
    with ScriptedProvider([chat_completion(None, [MEND_COLON])]) as provider:
        settings = AgentSettings(home=shop.settings.home, openai_base_url=provider.openai_url)
        with closing(build_model("openai:scripted", settings)) as model:
            shop.planner(model, found).plan(shop.task, [COLON], revision=0)
    messages = provider.received[0].body["messages"]
    assert isinstance(messages, list)
    text = messages[1]["content"]
    assert text.count("cart.py, lines 1 to 3:") == 1
    assert text.index("cart.py, lines 1 to 3:") < text.index("readme.md, lines 1 to 1:\n````\nSums up.\n````")


def test_long_file_is_shown_around_the_finding(shop: Shop) -> None:
    """Twenty lines on each side, of the test too, so that a request does not grow with the files."""
    (shop.bench.root / "cart.py").write_text("".join(f"line_{n}\n" for n in range(1, 301)), "utf-8")
    tests = "".join(f"def test_{n}():\n    pass\n" for n in range(1, 151))
    (shop.bench.root / "test_cart.py").write_text(tests, "utf-8")
    finding = Finding(
        rule="test/other", message="x", path="cart.py", line=150, data={"test": "test_cart.py::test_60[a]"}
    )
    _, provider = ask(shop, chat_completion(None, [GIVE_UP]), findings=[finding])
    text = str(provider.received[0].body["messages"])
    assert "cart.py, lines 130 to 170:" in text
    assert "test_cart.py, lines 99 to 139:" in text


def test_finding_of_a_file_that_is_gone_is_shown_alone(shop: Shop) -> None:
    """What cannot be read is left out, and a name that is not UTF-8 can still be sent."""
    finding = Finding(
        rule="test/other", message="caf\udce9.py is strange " * 200, path="caf\udce9.py", line=3
    )
    _, provider = ask(shop, chat_completion(None, [GIVE_UP]), findings=[finding])
    messages = provider.received[0].body["messages"]
    assert isinstance(messages, list)
    assert messages[1]["content"].endswith("# Passages\n\nnone")
    assert "at caf?.py:3: caf?.py is strange" in messages[1]["content"]
    assert "..." in messages[1]["content"]


def test_test_without_a_definition_is_shown_from_its_beginning(shop: Shop) -> None:
    """A test that a plugin makes has no line of its own."""
    (shop.bench.root / "test_cart.py").write_text("x = 1\n" * 300, "utf-8")
    finding = Finding(rule="test/other", message="x", data={"test": "test_cart.py::made_up"})
    _, provider = ask(shop, chat_completion(None, [GIVE_UP]), findings=[finding])
    assert "test_cart.py, lines 1 to 21:" in str(provider.received[0].body["messages"])


def test_finding_without_a_place_is_shown_by_its_message(shop: Shop) -> None:
    """Nothing is invented for a finding of no file."""
    finding = Finding(rule="test/none", message="there are no tests")
    _, provider = ask(shop, chat_completion(None, [GIVE_UP]), findings=[finding])
    assert "1. test/none: there are no tests\\n" in str(provider.received[0].body["messages"])
