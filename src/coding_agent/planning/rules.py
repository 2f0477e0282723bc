"""Plans without a model: each finding gets the skill that treats it, in an order that makes sense.

While a file does not compile nothing else is worth planning. Then undefined names, then failing tests that
a rename explains, then lint, and the search through history last: it costs most and needs all else quiet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from coding_agent.planning._lint import UNDEFINED_NAME, is_in_scope, is_lint_asked, is_ruff_configured
from coding_agent.records import Plan, PlannedStep, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Skill, SkillLibrary
    from coding_agent.records import Fact, Finding, Task

_Key: TypeAlias = "tuple[Fact | None, ...]"
_HISTORY = "bisect_regression"
"""The skill that searches history: alone in its plan, and only when nothing cheaper is left."""

_NAMED_CAUSES = ("test/import-error", "test/attribute-error", "test/name-error")
"""Failures with one of these texts in common have one cause; others are each a case of its own."""


class RulePlanner:
    """Serves one task: it remembers what it has planned, and does not plan what failed under the same odds.

    A finding that is still there after its skill ran is handed to the next skill that treats it. The same
    pair comes again only once fewer findings are left: another repair may have cleared the way.
    """

    def __init__(self, library: SkillLibrary) -> None:
        self._library = library
        self._tried: dict[tuple[str, _Key], int] = {}

    def plan(self, task: Task, findings: Sequence[Finding], *, revision: int) -> Plan:
        """Return the next steps, one skill a finding; what no skill treats stands in `untreated`."""
        wants_lint = is_lint_asked(task.text) or is_ruff_configured(task.repository)
        relevant = [one for one in findings if is_in_scope(one, wants_lint=wants_lint)]
        offers = {id(one): self._library.select(one) for one in relevant}
        untreated = tuple(one for one in relevant if not offers[id(one)])
        urgent = [one for one in relevant if one.rule.startswith("syntax/")] or _without_echoes(relevant)
        ordered = [(one, offers[id(one)]) for one in sorted(urgent, key=_urgency)]
        chosen = self._choose(ordered, left=len(relevant))
        for key, _, _ in chosen:
            self._tried[key] = len(relevant)
        return Plan(
            steps=tuple(_as_step(skill, finding) for _, skill, finding in chosen),
            source="rules",
            revision=revision,
            reason="initial" if revision == 0 else "replan",
            untreated=untreated,
        )

    def _choose(
        self, offers: Sequence[tuple[Finding, Sequence[Skill]]], *, left: int
    ) -> list[tuple[tuple[str, _Key], Skill, Finding]]:
        """Return (key, skill, finding) of each step: what one run of a skill cures is planned once."""
        chosen: dict[tuple[str, _Key], tuple[Skill, Finding]] = {}
        for finding, skills in offers:
            for skill in skills:
                key = (skill.name, _scope(finding))
                if key in chosen:
                    break
                if self._tried.get(key, left + 1) > left:
                    chosen[key] = (skill, finding)
                    break
        steps = [(key, skill, finding) for key, (skill, finding) in chosen.items()]
        cheap = [step for step in steps if step[1].name != _HISTORY]
        return cheap or steps[:1]


def _without_echoes(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out each NameError of a test in a file whose undefined names are findings themselves."""
    files = {one.path for one in findings if one.rule == UNDEFINED_NAME}
    return [one for one in findings if one.rule != "test/name-error" or one.path not in files]


def _scope(finding: Finding) -> _Key:
    """Return what one run of a skill treats: a file's lint, a name in a file, one message of the tests."""
    if finding.rule == UNDEFINED_NAME:
        return (finding.rule, finding.path, finding.data.get("name", finding.message))
    if finding.rule.startswith("ruff/"):
        return (finding.rule, finding.path)
    if finding.rule.startswith("test/"):
        has_cause = finding.rule in _NAMED_CAUSES
        return (finding.rule, finding.data.get("text" if has_cause else "test", finding.message))
    return (finding.rule, finding.path, finding.line, finding.message)


def _urgency(finding: Finding) -> int:
    order = ("syntax/", UNDEFINED_NAME, "test/", "ruff/")
    return next((rank for rank, start in enumerate(order) if finding.rule.startswith(start)), len(order))


def _as_step(skill: Skill, finding: Finding) -> PlannedStep:
    where = finding.where()
    title = f"{skill.name}: {finding.message}" + (f" ({where})" if where else "")
    return PlannedStep(kind=StepKind.SKILL, title=title, skill=skill.name, finding=finding)
