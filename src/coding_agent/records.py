"""What the agent's parts hand to each other: frozen data, no behaviour beyond small derivations.

Paths of files inside the work tree are POSIX strings relative to its root, so that a record means the same
in the work tree, in the user's tree and in a report. Lines and columns count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Fact: TypeAlias = str | int | float | bool
"""A value small enough to stand in a finding, a plan on disk or a report."""


class TaskOutcome(StrEnum):
    """How a task ended; `interrupted`, a dead process, is for an observer to say."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    NEEDS_LLM = "needs_llm"
    NEEDS_REVIEW = "needs_review"


class Verification(StrEnum):
    """What the target's own checks said after the work."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_VERIFIED = "not_verified"


class Phase(StrEnum):
    """Where in the loop the agent is; errors carry it."""

    VALIDATE = "validate"
    RECALL = "recall"
    RETRIEVE = "retrieve"
    PLAN = "plan"
    EXECUTE = "execute"
    VERIFY = "verify"
    REMEMBER = "remember"


class StepKind(StrEnum):
    """What a step does; the same closed set as `taskscope.step.kind`."""

    SEARCH = "search"
    READ = "read"
    EDIT = "edit"
    COMMAND = "command"
    TEST = "test"
    LINT = "lint"
    GIT = "git"
    SKILL = "skill"
    ASK = "ask"
    VERIFY = "verify"
    OTHER = "other"


class StepOutcome(StrEnum):
    """How a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a person asks for, and within which limits."""

    id: str
    text: str
    repository: Path
    """Absolute path of the user's repository (or plain folder); never written unless `in_place`."""
    kind: str = "repair"
    source: str = "cli"
    """Who handed the task in: api, cli, http, queue or background."""
    priority: int = 5
    """0 (first) to 9 (last)."""
    model: str = "rules"
    """`rules`, `replay:FILE`, `openai:MODEL` or `anthropic:MODEL`."""
    budget_usd: float | None = None
    timeout: float | None = None
    """Seconds for the whole task; None is no limit."""
    python: Path | None = None
    test_command: tuple[str, ...] = ()
    in_place: bool = False
    attempt: int = 1
    tools: tuple[str, ...] = ()
    """Programs that the task needs beyond git (`pytest`, `ruff`, any executable)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What the agent is told about its home and its helpers; secrets are read here and nowhere else."""

    home: Path
    """Absolute path of the agent's own folder; each part keeps what it has in one below it."""
    openai_api_key: str | None = field(default=None, repr=False)
    openai_base_url: str | None = None
    anthropic_api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    live_models: bool = True
    """False forbids every live model, whatever a task asks for (tests and CI)."""
    record_model_to: Path | None = None
    """Where a live model writes the recording that `replay:FILE` reads; None records nothing."""
    vector_store: str = "sqlite"
    """`sqlite` (embedded) or `chroma` (extra)."""
    chroma_url: str | None = None
    """A Chroma server; None keeps Chroma's files in the home."""
    embedder: str = "hash"
    """`hash` (no model), or `openai:MODEL`."""
    retrieval_results: int = 8
    """How many passages a retrieval returns."""
    retrieval_min_similarity: float = 0.0
    """Cosine similarity below which a vector hit does not count, -1 to 1."""
    skill_min_similarity: float = 0.05
    memory_results: int = 5
    memory_summarise_above: int = 200
    """Archive entries above which the oldest are summarised, one line per task."""
    command_timeout: float = 300.0
    """Seconds that one command (a test suite, a linter) may take."""
    output_limit_bytes: int = 1_000_000
    """Bytes kept of one command's output; the rest is counted, not kept."""
    max_rounds: int = 8
    """How often the agent diagnoses and plans anew before it gives up."""
    keep_work_tree: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong in the work tree, as a tool reported it."""

    rule: str
    """Where it comes from and what it is, lower-case with slashes: `syntax/expected-colon`, `ruff/F821`,
    `test/assertion`. Skills say by such names what they treat."""
    message: str
    path: str | None = None
    line: int | None = None
    column: int | None = None
    data: Mapping[str, Fact] = field(default_factory=dict)
    """Facts that a skill needs, say `{"name": "Path"}` or `{"test": "tests/test_a.py::test_b"}`."""

    def where(self) -> str:
        """Return `path:line:column` as far as known, else an empty string."""
        known = [str(part) for part in (self.path, self.line, self.column) if part is not None]
        return ":".join(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One thing to do."""

    kind: StepKind
    title: str
    skill: str | None = None
    finding: Finding | None = None
    arguments: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of one round, in order."""

    steps: tuple[PlannedStep, ...]
    source: str
    """`rules` or `llm`."""
    revision: int = 0
    reason: str = "initial"
    """initial, replan or resume."""
    untreated: tuple[Finding, ...] = ()
    """Findings for which the planner knows nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What came of one step."""

    step: PlannedStep
    outcome: StepOutcome
    summary: str = ""
    findings: tuple[Finding, ...] = ()
    files_changed: tuple[str, ...] = ()
    error_type: str | None = None
    verification: Verification | None = None
    """Set by a verify step only."""
    repair: Repair | None = None
    """Set by a skill step only: what a verified task can learn from."""


class RepairOutcome(StrEnum):
    """What a skill did with a finding; the same closed set as `taskscope.skill.outcome`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What a skill did: on anything but `succeeded` the work tree is as it was."""

    outcome: RepairOutcome
    summary: str
    files_changed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What the skill found out on its way, say the commit that `git bisect` named."""
    parameters: Mapping[str, Fact] = field(default_factory=dict)
    """What a learned skill needs to do the same again, say `{"name": "Path", "module": "pathlib"}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run: an argument list, never a shell line."""

    argv: tuple[str, ...]
    timeout: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the (filtered) environment of the agent."""
    cwd: str = "."
    """Relative to the work tree's root."""
    stdin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What one command did. Output is decoded with replacement characters."""

    argv: tuple[str, ...]
    exit_code: int | None
    """None when it was killed at its limit; negative is the signal, as in `subprocess`."""
    stdout: str
    stderr: str
    duration: float
    pid: int
    output_bytes: int
    """Bytes of stdout and stderr in all, also those beyond the limit."""
    is_truncated: bool = False
    is_timed_out: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether the command ended by itself with exit code 0."""
        return self.exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFailure:
    """One test that did not pass, or one file that could not be collected."""

    __test__ = False

    test: str
    """pytest's node id, or the file's path for a collection error."""
    error: str
    """The exception's class as pytest names it: `AssertionError`, `ImportError`."""
    message: str
    path: str | None = None
    """File of the innermost frame that lies inside the work tree."""
    line: int | None = None
    is_collection_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What one run of the target's test suite said."""

    __test__ = False

    passed: int
    failed: int
    errors: int
    skipped: int
    failures: tuple[TestFailure, ...]
    exit_code: int | None
    is_timed_out: bool = False
    has_counts: bool = True
    """False for a foreign `--test-command`, which is judged by its exit code alone."""
    imported_elsewhere: tuple[str, ...] = ()
    """Files of the work tree whose modules the tests imported from another place (a faked pass)."""
    output_tail: str = ""

    @property
    def is_passed(self) -> bool:
        """Whether at least one check ran, all passed, and they ran on the work tree's own code."""
        return self.exit_code == 0 and not self.is_empty and not self.imported_elsewhere

    @property
    def is_empty(self) -> bool:
        """Whether the run was good and yet no test passed: all were skipped, say, and nothing was checked."""
        return self.exit_code == 0 and self.has_counts and self.passed == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a file that retrieval returned."""

    path: str
    start_line: int
    end_line: int
    text: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """What one retrieval found, best first."""

    passages: tuple[Passage, ...]
    mode: str
    """hybrid, bm25 or vector: which stages took part."""
    candidates: int
    """How many passages the stages offered before fusion cut them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What one pass over the files did."""

    indexed: int
    unchanged: int
    removed: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Reason (`binary`, `too_large`, `undecodable`) to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEntry:
    """One thing the agent remembers."""

    id: str
    store: str
    """`scratch` (this task), `archive` (finished tasks)."""
    text: str
    task_id: str
    created_at: float
    """Unix seconds."""
    data: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation with a model."""

    role: str
    """system, user, assistant or tool."""
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish to use a tool."""

    id: str
    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """What a model is told of a tool; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the provider reported them; None is unknown, never 0.

    `input_tokens` include cached ones (Anthropic reports them apart: its adapter adds them up).
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's answer."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    model: str | None = None
    """The model that answered, as the provider says."""
    provider: str = "local"
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    retry_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReport:
    """What the agent did before verification."""

    steps: tuple[StepResult, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What is still wrong, as far as the agent knows."""
    discoveries: tuple[Finding, ...] = ()
    """What the skills found out on their way, say the commit that `git bisect` named."""
    files_changed: tuple[str, ...] = ()
    patch: str = ""
    """A unified diff that `git apply` applies to the user's tree as it is; empty when nothing changed."""
    rounds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """Why a task failed, with what a person needs to go on."""

    type: str
    message: str
    task_id: str
    phase: Phase
    step: int | None = None
    hint: str = ""
    state: Mapping[str, Fact] = field(default_factory=dict)
    """The agent's state: round, plan revision, files changed."""
    environment: Mapping[str, Fact] = field(default_factory=dict)
    """Versions and free space, never environment variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended, and what it leaves behind."""

    task_id: str
    outcome: TaskOutcome
    verification: Verification
    findings: tuple[Finding, ...] = ()
    files_changed: tuple[str, ...] = ()
    patch: str = ""
    patch_path: Path | None = None
    """Where the patch lies on disk; None when nothing changed or the edits are in place."""
    summary: str = ""
    error: ErrorReport | None = None
