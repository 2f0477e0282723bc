"""Plans by a language model: it chooses among the skills on offer, exact edits, and giving up.

A model's answer is data: it is checked whole before any of it becomes a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import ModelError
from coding_agent.records import Finding, Plan

from ._answers import Offer, build_tools, read_answer
from ._lint import is_in_scope, is_lint_asked, is_ruff_configured
from ._request import build_refusal, build_request, collect_passages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from coding_agent.protocols import Files, Model, SkillLibrary
    from coding_agent.records import Passage, Task

    from ._answers import Answer

_FINDINGS_LIMIT = 40
"""Findings shown in one request; the rest waits for the next round."""


class ModelPlanner:
    """Serves one task: it remembers what it has planned, so that the model sees what was tried.

    `root` is the work tree, whose path is taken out of all that the model is told; `context` gives the
    passages that retrieval found for the task.
    """

    def __init__(
        self,
        model: Model,
        library: SkillLibrary,
        files: Files,
        root: Path,
        context: Callable[[], Sequence[Passage]],
    ) -> None:
        self._model = model
        self._library = library
        self._files = files
        self._root = root
        self._context = context
        self._earlier: list[str] = []

    def plan(self, task: Task, findings: Sequence[Finding], *, revision: int) -> Plan:
        """Return the model's plan; ModelError after two answers that cannot be carried out.

        Nothing is asked once nothing is left to treat. A model that gives up is a plan without steps, and
        its reason stands among the findings as `model/gave-up`.
        """
        wants_lint = is_lint_asked(task.text) or is_ruff_configured(task.repository)
        relevant = [finding for finding in findings if is_in_scope(finding, wants_lint=wants_lint)]
        answer = self._ask(task, relevant) if relevant or revision == 0 else None
        steps = tuple(answer.steps) if answer else ()
        self._earlier += [step.title for step in steps]
        untreated = [finding for finding in relevant if all(step.finding is not finding for step in steps)]
        if answer and answer.gave_up is not None:
            untreated.append(Finding(rule="model/gave-up", message=answer.gave_up))
        return Plan(
            steps=steps,
            source="llm",
            revision=revision,
            reason="initial" if revision == 0 else "replan",
            untreated=tuple(untreated),
        )

    def _ask(self, task: Task, findings: Sequence[Finding]) -> Answer:
        offers = [self._offer(finding) for finding in findings[:_FINDINGS_LIMIT]]
        shown = [offer.finding for offer in offers]
        passages = collect_passages(shown, self._context(), self._files)
        messages = build_request(task, offers, passages, self._earlier, self._root)
        tools = build_tools(offers)
        reply = self._model.complete(messages, tools)
        answer = read_answer(reply, offers, self._files)
        if answer.problems:
            messages += build_refusal(reply, answer.problems, self._root)
            answer = read_answer(self._model.complete(messages, tools), offers, self._files)
        if answer.problems:
            problems = "; ".join(answer.problems)
            msg = f"model {self._model.name!r} gave no plan that can be carried out: {problems}"
            raise ModelError(msg, hint="try another model, or 'rules'")
        return answer

    def _offer(self, finding: Finding) -> Offer:
        skills = {skill.name: skill.description for skill in self._library.select(finding)}
        return Offer(finding=finding, skills=skills)
