"""The skills at hand: shipped with the agent, put into the home by its user, learned from verified tasks.

A folder that is not a proper skill is a named problem and never breaks a run. As in Voyager
(https://arxiv.org/abs/2305.16291) each skill has an entry in an index, and both hold the same number.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import TaskStoppedError
from coding_agent.records import RepairOutcome
from coding_agent.skills.counts import OutcomeCounts
from coding_agent.skills.lessons import name_lesson, write_lesson
from coding_agent.skills.skill import BrokenSkillError, FolderSkill, load_skill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.protocols import Descriptions
    from coding_agent.records import Finding, Repair

_logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent
"""The folder of the skills that come with the agent."""
_MARKS = ("SKILL.md", "metadata.yaml", "repair.py")
"""A folder that holds one of these is meant as a skill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillProblem:
    """A skill that cannot be used, and why."""

    name: str
    folder: Path
    message: str


class FolderLibrary:
    """Reads the shipped folder, then the home's; learns into the home's; counts outcomes there.

    With an index, skills that treat the same finding at the same order are ranked by the similarity of the
    finding's text to their descriptions and by how often they succeeded; without one (or when it cannot
    answer) by the latter alone.
    """

    def __init__(
        self,
        home: Path,
        *,
        index: Descriptions | None = None,
        min_similarity: float = 0.05,
        shipped: Path = SHIPPED,
    ) -> None:
        self._home = home
        self._index = index
        self._min_similarity = min_similarity
        self._counts = OutcomeCounts(home)
        self._skills: dict[str, FolderSkill] = {}
        self._problems: list[SkillProblem] = []
        for folder in (shipped, home):
            self._load(folder)
        self._refresh_index()
        for problem in self._problems:
            _logger.warning("skill %s cannot be used: %s", problem.name, problem.message)

    @property
    def problems(self) -> Sequence[SkillProblem]:
        """The folders that could not be used."""
        return tuple(self._problems)

    @property
    def skills(self) -> Sequence[FolderSkill]:
        """All skills that can be used, by name."""
        return tuple(self._skills[name] for name in sorted(self._skills))

    def select(self, finding: Finding) -> Sequence[FolderSkill]:
        """Return the skills that treat this: learned ones first, then by order, likeness and success."""
        treating = [skill for skill in self._skills.values() if skill.treats(finding)]
        if len(treating) < 2:  # noqa: PLR2004 - one needs no ranking, and no embedding is paid for it
            return treating
        likeness = self._compare(finding)

        def rank(skill: FolderSkill) -> tuple[bool, int, float, str]:
            score = likeness.get(skill.name, 0.0) + self._counts.success_rate(skill.name)
            return (not skill.is_learned, skill.order, -score, skill.name)

        return sorted(treating, key=rank)

    def get(self, name: str) -> FolderSkill:
        """Return a skill by name; KeyError names those that exist."""
        try:
            return self._skills[name]
        except KeyError:
            msg = f"no skill {name!r}; there are {', '.join(sorted(self._skills))}"
            raise KeyError(msg) from None

    def learn(self, finding: Finding, skill: str, repair: Repair, task_id: str) -> str | None:
        """Keep a verified repair as a skill and return its name; None where it taught nothing.

        A lesson is what the parent found out (its parameters), bound to the name in the finding's message.
        What a learned skill has done again is the same lesson, counted once more.
        """
        used = self.get(skill)
        parent = self.get(used.parent) if used.parent is not None else used
        key = parent.lesson_key
        if repair.outcome is not RepairOutcome.SUCCEEDED or key is None or key not in repair.parameters:
            return None
        if str(repair.parameters[key]) not in finding.message:
            return None
        name = name_lesson(parent, repair.parameters)
        try:
            write_lesson(self._home / name, parent, repair.parameters, task_id)
        except OSError as error:
            _logger.warning("the lesson %s cannot be kept: %s", name, error)
            return None
        self._skills[name] = load_skill(self._home / name, self._skills)
        self._refresh_index()
        return name

    def count(self, name: str, outcome: str) -> None:
        """Count how a skill ended; a count that cannot be written is said in the log."""
        try:
            self._counts.add(name, outcome)
        except OSError as error:
            _logger.warning("the outcome of skill %s cannot be counted: %s", name, error)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return skill to outcome to how often."""
        return self._counts.read()

    def _load(self, folder: Path) -> None:
        """Load each skill of a folder; lessons last, since they need their parents."""
        found = _find_folders(folder)
        for path in sorted(found, key=lambda path: (not (path / "repair.py").exists(), path.name)):
            try:
                if path.name in self._skills:
                    taken = self._skills[path.name].folder
                    msg = f"{path}: the name is taken by {taken}; rename the folder"
                    raise BrokenSkillError(msg)  # noqa: TRY301
                skill = load_skill(path, self._skills)
                self._skills[skill.name] = skill
            except BrokenSkillError as error:
                self._problems.append(SkillProblem(name=path.name, folder=path, message=str(error)))

    def _refresh_index(self) -> None:
        """Bring the index up to the skills; it has to hold as many as there are."""
        if self._index is None:
            return
        try:
            held = self._index.replace({skill.name: _describe(skill) for skill in self._skills.values()})
        except TaskStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - the border to a vector store and an API
            self._give_index_up(error)
            return
        if held != len(self._skills):  # another process may be at it with other skills
            _logger.warning("the skills' index holds %d, the folders %d", held, len(self._skills))

    def _compare(self, finding: Finding) -> Mapping[str, float]:
        """Return the likeness of skills to the finding; what is below the threshold is left out."""
        if self._index is None:
            return {}
        text = f"{finding.rule.replace('/', ' ')} {finding.message}"
        try:
            ranked = self._index.rank(text, limit=len(self._skills), min_similarity=self._min_similarity)
        except TaskStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._give_index_up(error)
            return {}
        return dict(ranked)

    def _give_index_up(self, error: Exception) -> None:
        _logger.warning("skills are ranked without likeness, their index failed: %s", error)
        self._index = None


def _describe(skill: FolderSkill) -> str:
    return f"{skill.name.replace('_', ' ')} {skill.description}"


def _find_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and any((path / mark).exists() for mark in _MARKS)
    ]
