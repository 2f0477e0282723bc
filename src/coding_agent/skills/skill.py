"""One skill as it lies in its folder: SKILL.md, metadata.yaml, repair.py; or a lesson with a parent's code.

Which skill is chosen is the library's business.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from coding_agent.errors import AgentError
from coding_agent.protocols import Workbench
from coding_agent.records import Fact, Finding, Repair, RepairOutcome
from coding_agent.skills.editing import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Files

RepairFunction: TypeAlias = Callable[[Finding, Workbench], Repair]
_NEEDS = ("git", "tests")
_FILES_REMEMBERED = 256
_once_for_each_state = functools.lru_cache(_FILES_REMEMBERED)
"""What a function found in a file, by the file and its state."""


class BrokenSkillError(AgentError, ValueError):
    """A skill's folder does not hold what a skill needs; the message names the file and the fault."""

    error_type = "broken_skill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Which findings a skill treats: all that is given has to match."""

    rule: str
    """A glob: `syntax/expected-colon`, `test/*`."""
    message: str | None = None
    """A regular expression, searched in the finding's message."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Regular expressions, each to match one of the finding's facts as a whole."""

    def matches(self, finding: Finding) -> bool:
        """Whether the finding is one of these."""
        return (
            fnmatchcase(finding.rule, self.rule)
            and (self.message is None or re.search(self.message, finding.message) is not None)
            and all(
                re.fullmatch(pattern, str(finding.data.get(key, ""))) for key, pattern in self.data.items()
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSkill:
    """A skill that was read from a folder; a learned one runs its parent, told the parameters."""

    name: str
    description: str
    folder: Path
    patterns: tuple[Pattern, ...]
    order: int = 50
    """Of two skills that treat the same finding the lower goes first."""
    needs: tuple[str, ...] = ()
    """Of the bench: `git` (a history), `tests` (a suite that can run)."""
    lesson_key: str | None = None
    """The parameter that a lesson is bound to: the learned skill treats findings that name its value."""
    code: RepairFunction = field(repr=False)
    parent: str | None = None
    parameters: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def is_learned(self) -> bool:
        """Whether it is a lesson from a finished task."""
        return self.parent is not None

    def treats(self, finding: Finding) -> bool:
        """Whether one of its patterns matches."""
        return any(pattern.matches(finding) for pattern in self.patterns)

    def run(self, finding: Finding, bench: Workbench) -> Repair:
        """Treat the finding; what the skill's code wrote is undone unless it succeeded.

        What goes wrong in that code is its result (`failed`); what ends the task (AgentError) is raised.
        """
        missing = [need for need in self.needs if not _has(bench, need)]
        if missing:
            text = f"{self.name} needs {' and '.join(missing)}, which this work tree has not"
            return Repair(outcome=RepairOutcome.NOT_APPLICABLE, summary=text)
        told = replace(finding, data={**finding.data, **self.parameters})
        with Transaction(bench) as edit:
            # Also foreign code that knows nothing of transactions writes through this.
            recorded = replace(bench, files=_RecordedFiles(bench.files, edit))
            repair = self._call(told, recorded)
            if repair.outcome is RepairOutcome.SUCCEEDED:
                edit.keep()
        return repair

    def _call(self, finding: Finding, bench: Workbench) -> Repair:
        try:
            repair = self.code(finding, bench)
        except AgentError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the border to code that a user may have added
            text = f"{self.name} ({self.folder}) raised {type(error).__name__}: {error}"
            return Repair(outcome=RepairOutcome.FAILED, summary=text)
        answer: object = repair
        if isinstance(answer, Repair):
            return repair
        text = f"repair() of {self.name} ({self.folder}) returned {type(repair).__name__}, not a Repair"
        return Repair(outcome=RepairOutcome.FAILED, summary=text)


class _RecordedFiles:
    """The bench's files, remembered before each write."""

    def __init__(self, files: Files, edit: Transaction) -> None:
        self._files = files
        self._edit = edit

    def read(self, path: str) -> str:
        return self._files.read(path)

    def write(self, path: str, text: str) -> None:
        self._edit.remember(path)
        self._files.write(path, text)

    def paths(self, pattern: str = "**/*") -> Sequence[str]:
        return self._files.paths(pattern)


def _has(bench: Workbench, need: str) -> bool:
    return bench.git.is_repository if need == "git" else bench.tests.is_available


def load_skill(folder: Path, parents: Mapping[str, FolderSkill]) -> FolderSkill:
    """Read a skill from its folder; BrokenSkillError says what is wrong with it."""
    front = _read_front_matter(folder / "SKILL.md", _stamp(folder / "SKILL.md"))
    metadata = _read_yaml(folder / "metadata.yaml", _stamp(folder / "metadata.yaml"))
    name, description = front.get("name"), front.get("description")
    if name != folder.name or not isinstance(description, str):
        msg = (
            f"{folder / 'SKILL.md'}: front matter has to give name: {folder.name} and a description,"
            f" it gives {name!r} and {description!r}"
        )
        raise BrokenSkillError(msg)
    parent = metadata.get("parent")
    if parent is not None and parent not in list(parents):
        msg = f"{folder / 'metadata.yaml'}: there is no parent skill {parent!r}"
        raise BrokenSkillError(msg)
    code = folder / "repair.py"
    return FolderSkill(
        name=name,
        description=" ".join(description.split()),
        folder=folder,
        patterns=_read_patterns(folder / "metadata.yaml", metadata.get("treats")),
        order=_read_order(folder / "metadata.yaml", metadata.get("order", 50)),
        needs=_read_needs(folder / "metadata.yaml", metadata.get("needs", [])),
        lesson_key=metadata.get("lesson_key"),
        code=_load_code(code, _stamp(code)) if parent is None else parents[parent].code,
        parent=parent,
        parameters=_read_parameters(folder / "metadata.yaml", metadata.get("parameters", {})),
    )


def _stamp(file: Path) -> tuple[int, ...]:
    """What changes with a file, so that a process that runs task after task reads each state of it once."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@_once_for_each_state
def _read_front_matter(file: Path, _state: tuple[int, ...]) -> Mapping[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read ({error})"
        raise BrokenSkillError(msg) from error
    # Front matter as agentskills.io has it: YAML between two lines of three dashes at the very top.
    found = re.match(r"---\r?\n(.*?)\r?\n---\r?(\n|$)", text, re.DOTALL)
    if found is None:
        msg = f"{file}: has to begin with front matter between two lines '---'"
        raise BrokenSkillError(msg)
    return _parse_yaml(file, found[1])


@_once_for_each_state
def _read_yaml(file: Path, _state: tuple[int, ...]) -> Mapping[str, Any]:
    try:
        return _parse_yaml(file, file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read ({error})"
        raise BrokenSkillError(msg) from error


def _parse_yaml(file: Path, text: str) -> Mapping[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{file}: not YAML ({' '.join(str(error).split())})"
        raise BrokenSkillError(msg) from error
    if not isinstance(value, dict):
        msg = f"{file}: has to hold keys and values, it holds {type(value).__name__}"
        raise BrokenSkillError(msg)
    return value


def _read_patterns(file: Path, value: object) -> tuple[Pattern, ...]:
    if not isinstance(value, list) or not value:
        msg = f"{file}: treats has to be a list of findings, it is {value!r}"
        raise BrokenSkillError(msg)
    return tuple(_read_pattern(file, entry) for entry in value)


def _read_pattern(file: Path, entry: object) -> Pattern:
    try:
        assert isinstance(entry, dict)
        pattern = Pattern(**entry)
        for expression in (pattern.message or "", *pattern.data.values()):
            re.compile(expression)
        assert isinstance(pattern.rule, str)
    except (AssertionError, AttributeError, TypeError, re.error) as error:
        wanted = "rule (a glob), and if need be message and data (regular expressions)"
        msg = f"{file}: an entry of treats has {wanted}; it is {entry!r}"
        raise BrokenSkillError(msg) from error
    return pattern


def _read_order(file: Path, value: object) -> int:
    if not isinstance(value, int):
        msg = f"{file}: order has to be a whole number, it is {value!r}"
        raise BrokenSkillError(msg)
    return value


def _read_needs(file: Path, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or any(need not in _NEEDS for need in value):
        msg = f"{file}: needs may name {' and '.join(_NEEDS)}, it is {value!r}"
        raise BrokenSkillError(msg)
    return tuple(value)


def _read_parameters(file: Path, value: object) -> Mapping[str, Fact]:
    is_plain = isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(fact, str | int | float) for key, fact in value.items()
    )
    if not is_plain:
        msg = f"{file}: parameters have to be names with texts or numbers, they are {value!r}"
        raise BrokenSkillError(msg)
    return dict(value)  # type: ignore[call-overload, no-any-return]


@_once_for_each_state
def _load_code(file: Path, _state: tuple[int, ...]) -> RepairFunction:
    if not file.is_file():
        msg = f"{file}: is missing; it has to define repair(finding, bench)"
        raise BrokenSkillError(msg)
    spec = importlib.util.spec_from_file_location(f"coding_agent_skill_{file.parent.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        code: RepairFunction = module.repair
    except (Exception, SystemExit) as error:  # the border to code that a user may have added
        msg = f"{file}: {type(error).__name__}: {error}"
        raise BrokenSkillError(msg) from error
    return code
