"""The doors between the agent's parts: what each must offer, nothing of how.

`build.py` is the only file that knows who stands behind them. A part imports from here and from
`records.py`, never from a sibling.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from coding_agent.records import (
        Command,
        CommandResult,
        Finding,
        IndexReport,
        MemoryEntry,
        Message,
        Plan,
        PlannedStep,
        Repair,
        Reply,
        Retrieval,
        StepResult,
        Task,
        TestReport,
        ToolDefinition,
    )


class Limits(Protocol):
    """What time and money are left to the task."""

    def seconds_left(self) -> float | None:
        """Return the seconds left, None without a limit."""

    def check(self) -> None:
        """Raise TimeExceededError or TaskStoppedError when the task has to end."""


class RunProcess(Protocol):
    """Spawns a program; `coding_agent.tools.process.run_process` is the only one who does."""

    def __call__(
        self,
        command: Command,
        *,
        root: Path,
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
        output_limit_bytes: int = 1_000_000,
        timeout: float | None = None,
        errors: str = "replace",
    ) -> CommandResult:
        """Run the command to its end, in `root` and within the limits."""


class Shell(Protocol):
    """Runs programs in the work tree: argument lists, a limit, an output cap, whole group killed."""

    def run(self, command: Command) -> CommandResult:
        """Run to its end; a non-zero exit code is a result, a program that is missing is ToolMissingError."""


class Files(Protocol):
    """Reads and writes files, confined to the work tree (symbolic links out of it are refused)."""

    def read(self, path: str) -> str:
        """Return the text of a file, decoded as its coding cookie says."""

    def write(self, path: str, text: str) -> None:
        """Replace a file, keeping its encoding, line ends and mode."""

    def paths(self, pattern: str = "**/*") -> Sequence[str]:
        """Return the files that git does not ignore and that match the glob, sorted."""


class Search(Protocol):
    """Finds text in the work tree."""

    def find(self, pattern: str, *, glob: str = "**/*", limit: int = 200) -> Sequence[tuple[str, int, str]]:
        """Return (path, line number, line) for each line that the regular expression matches."""


class Git(Protocol):
    """Git in the work tree; nothing here writes to the user's repository."""

    @property
    def is_repository(self) -> bool:
        """Whether the work tree has a history."""

    def run(self, *arguments: str, stdin: str | None = None) -> CommandResult:
        """Run git with hooks off."""

    def bisect(self, probe: Sequence[str], *, good: str, bad: str) -> str | None:
        """Return the first bad commit by `git bisect run`, in a tree of its own; None if it cannot tell.

        The probe's exit code is git's: 0 good, 125 skip, 1 to 127 bad.
        """


class TestRunner(Protocol):
    """Runs the target's own tests with the target's own Python."""

    @property
    def python(self) -> Path:
        """The interpreter that the target's checks run with."""

    @property
    def is_available(self) -> bool:
        """Whether that interpreter can run the checks at all (pytest importable, or a test command given).

        A run may be what shows that it cannot, so who has run them and was told of a failure asks again.
        """

    def run(self, *selection: str, files_changed: Sequence[str] = ()) -> TestReport:
        """Run the suite, or only the node ids given.

        Of `files_changed` the report names in `imported_elsewhere` those that the tests did not import from
        the work tree but from another place.
        """


class Linter(Protocol):
    """ruff on the work tree, with the target's own configuration and `--target-version`."""

    def check(self, *paths: str, select: Sequence[str] = ()) -> Sequence[Finding]:
        """Return what it reports, `ruff/CODE` each, with `data["fix"]` safe, unsafe or none."""

    def fix(self, *paths: str, select: Sequence[str] = ()) -> Sequence[str]:
        """Apply the safe fixes of the selected rules; return the files changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """The work tree of one task and the tools that lie on it."""

    root: Path
    """The work tree; what a repair may write."""
    source: Path
    """The user's repository; never written unless the task is in place."""
    shell: Shell
    files: Files
    search: Search
    git: Git
    tests: TestRunner
    linter: Linter
    limits: Limits


class Workspace(Protocol):
    """Makes the work tree of a task and says what changed in it."""

    def open(self, task: Task) -> AbstractContextManager[Path]:
        """Make the work tree and give its root; on leaving, remove it or keep it as chosen."""

    def patch(self, paths: Sequence[str]) -> str:
        """Return the changes of these files as a diff that applies to the user's tree as it is."""


class Diagnosis(Protocol):
    """Looks for what is wrong, changes nothing."""

    def lint(self) -> Sequence[Finding]:
        """Return what the compiler and the linter report."""

    def test(self) -> Sequence[Finding]:
        """Return what the target's tests report."""


class Planner(Protocol):
    """Turns findings into steps."""

    def plan(self, task: Task, findings: Sequence[Finding], *, revision: int) -> Plan:
        """Return the next steps; a plan without steps means that nothing is left that it can do."""


class Executor(Protocol):
    """Carries out steps, one at a time."""

    def execute(self, step: PlannedStep, *, index: int, attempt: int = 1) -> StepResult:
        """Do the step; what goes wrong in it is its result, what ends the task is raised."""


class Verifier(Protocol):
    """Says by the target's own checks whether the work tree is good."""

    def verify(self, files_changed: Sequence[str]) -> TestReport | None:
        """Run the checks on the work tree; None when there is nothing that could check it."""


class Skill(Protocol):
    """A recipe for treating one kind of finding."""

    @property
    def name(self) -> str:
        """Its folder's name."""

    @property
    def description(self) -> str:
        """One sentence, from its front matter."""

    def treats(self, finding: Finding) -> bool:
        """Whether its finding patterns match."""

    def run(self, finding: Finding, bench: Workbench) -> Repair:
        """Treat the finding; unless it succeeds the work tree is left as it was."""


class SkillLibrary(Protocol):
    """The skills at hand: shipped, the user's own, and learned."""

    def select(self, finding: Finding) -> Sequence[Skill]:
        """Return the skills that treat this finding, the most promising first (learned before shipped)."""

    def get(self, name: str) -> Skill:
        """Return a skill by name; KeyError names those that exist."""

    def learn(self, finding: Finding, skill: str, repair: Repair, task_id: str) -> str | None:
        """Keep a verified repair as a skill; return its name, None where there is nothing to learn."""

    def count(self, name: str, outcome: str) -> None:
        """Count how a skill ended; the counts rank skills that treat the same finding."""


class Descriptions(Protocol):
    """An index of a few described things, nearest first."""

    def replace(self, descriptions: Mapping[str, str]) -> int:
        """Hold exactly these (name to text); return how many it then holds."""

    def rank(self, text: str, *, limit: int, min_similarity: float = -1.0) -> Sequence[tuple[str, float]]:
        """Return names with their similarity to the text, best first."""


class Retriever(Protocol):
    """Finds the passages of the code base that speak of a text."""

    def index(self) -> IndexReport:
        """Bring the index up to the files as they are now."""

    def retrieve(self, text: str, *, limit: int | None = None) -> Retrieval:
        """Return passages, best first."""


class Memory(Protocol):
    """What the agent keeps between steps (scratch) and between tasks (archive)."""

    def search(self, text: str, *, limit: int | None = None) -> Sequence[MemoryEntry]:
        """Return the entries of the archive that speak of the text, best first."""

    def upsert(self, entry: MemoryEntry) -> None:
        """Write or replace one entry."""

    def keep_plan(self, task_id: str, plan: Plan) -> None:
        """Write the plan to disk."""


class Model(Protocol):
    """A language model behind one call."""

    @property
    def name(self) -> str:
        """The model asked for."""

    @property
    def provider(self) -> str:
        """The provider's name as the GenAI conventions spell it (`openai`, `anthropic`, `local`)."""

    @property
    def mode(self) -> str:
        """`live` or `replay`."""

    @property
    def base_url(self) -> str | None:
        """Where live calls go, without credentials; None for a replay."""

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolDefinition] = ()) -> Reply:
        """Return the answer; retries happen inside. `usage` is None when the provider gave none."""

    def close(self) -> None:
        """Let go of connections; a replay with answers left over raises ReplayMismatchError."""


class ModelGate(Protocol):
    """Asked before each live call."""

    def __call__(self, *, provider: str, model: str, base_url: str | None) -> None:
        """Raise BudgetExceededError when no further live call may be made."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """The model's name, with its dimension where it is our own: `hash-1024`."""

    @property
    def provider(self) -> str:
        """As in Model; `local` for an embedder in this process."""

    @property
    def dimensions(self) -> int:
        """Length of each vector."""

    def embed(self, texts: Sequence[str]) -> Sequence[Mapping[int, float] | Sequence[float]]:
        """Return one vector a text: dense, or sparse as index to value; unit length."""
