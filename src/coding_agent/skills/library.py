"""The skills at hand: shipped with the agent, put into the home by its user, learned from verified tasks.

A folder that is not a proper skill is a named problem and never breaks a run. As in Voyager
(https://arxiv.org/abs/2305.16291) each skill has an entry in an index, and both hold the same number.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.records import RepairOutcome
from coding_agent.skills.counts import OutcomeCounts
from coding_agent.skills.lessons import name_lesson, write_lesson
from coding_agent.skills.skill import BrokenSkillError, FolderSkill, load_skill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.protocols import Embedder
    from coding_agent.records import Finding, Repair

    Vector = Mapping[int, float] | Sequence[float]

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

    With an embedder, skills that treat the same finding at the same order are ranked by the similarity of the
    finding's text to their descriptions and by how often they succeeded; without one by the latter alone.
    """

    def __init__(
        self,
        home: Path,
        *,
        embedder: Embedder | None = None,
        min_similarity: float = 0.05,
        shipped: Path = SHIPPED,
    ) -> None:
        self._home = home
        self._embedder = embedder
        self._min_similarity = min_similarity
        self._counts = OutcomeCounts(home)
        self._skills: dict[str, FolderSkill] = {}
        self._index: dict[str, Vector] = {}
        self._problems: list[SkillProblem] = []
        for folder in (shipped, home):
            self._load(folder)
        self._fill_index()
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
        likeness = self._compare(finding, treating)

        def rank(skill: FolderSkill) -> tuple[bool, int, float, str]:
            score = likeness[skill.name] + self._counts.success_rate(skill.name)
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
        self._fill_index()
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

    def _fill_index(self) -> None:
        """Embed the descriptions that are not in the index yet, all in one call."""
        missing = [skill for name, skill in self._skills.items() if name not in self._index]
        texts = [f"{skill.name.replace('_', ' ')} {skill.description}" for skill in missing]
        for skill, vector in zip(missing, self._embed(texts), strict=True):
            self._index[skill.name] = vector
        self._check_index()

    def _embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        if self._embedder is None or not texts:
            return [{} for _ in texts]
        return self._embedder.embed(texts)

    def _compare(self, finding: Finding, skills: Sequence[FolderSkill]) -> Mapping[str, float]:
        """Return the likeness of each skill to the finding; below the threshold it counts as none."""
        vector = self._embed([f"{finding.rule.replace('/', ' ')} {finding.message}"])[0]
        likeness = {skill.name: _dot(vector, self._index[skill.name]) for skill in skills}
        return {name: value if value >= self._min_similarity else 0.0 for name, value in likeness.items()}

    def _check_index(self) -> None:
        """Assert that index and skills hold the same."""
        assert self._index.keys() == self._skills.keys(), (
            f"the skills' index holds {sorted(self._index)}, the folders {sorted(self._skills)}"
        )


def _find_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and any((path / mark).exists() for mark in _MARKS)
    ]


def _dot(one: Vector, other: Vector) -> float:
    """Return the cosine similarity of two unit vectors, dense or sparse."""
    left, right = _as_sparse(one), _as_sparse(other)
    return sum(value * right.get(index, 0.0) for index, value in left.items())


def _as_sparse(vector: Vector) -> Mapping[int, float]:
    return dict(enumerate(vector)) if not hasattr(vector, "items") else dict(vector.items())
