"""Runs one task: checks it, opens its span, lets the agent work, keeps what came of it.

With the instrumentation's table this is the only door to `coding_agent`. What the agent does is not decided
here, and nothing here is needed for it: the agent runs as well without anybody watching.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from coding_agent import interrupts
from coding_agent.build import build_agent
from coding_agent.errors import AgentError, BudgetExceededError, InvalidTaskError, ToolMissingError
from coding_agent.limits import TaskLimits
from coding_agent.records import AgentSettings, Task, TaskOutcome
from coding_agent.retrieval import (
    build_embedder,
    build_vector_index,
    probe_codebase,
    probe_embedder,
    probe_vectors,
    read_index_status,
)
from coding_agent.validation import validate_task
from taskscope.config import open_private
from taskscope.errors import StoreError, StoreTooNewError, UsageError
from taskscope.store.database import open_database
from taskscope.store.records import TaskNote
from taskscope.telemetry import context, spans
from taskscope.telemetry.providers import get_providers

from .records import Preview, RunResult
from .revision import find_patch_root, read_revision
from .spending import BudgetUsedUpError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from coding_agent.protocols import Limits, ModelGate
    from coding_agent.records import Finding, Outcome
    from taskscope.config import Settings
    from taskscope.recorder.recording import Recording
    from taskscope.redaction import Redactor

    from .records import TaskRequest
    from .spending import Spending

_logger = logging.getLogger(__name__)

_FLUSH_TIMEOUT_S = 1.0
"""How long the start of a task waits for its row in the ledger: once a task, so that `status` sees it."""


class TaskRefusedError(UsageError):
    """The task was refused before it started; the message names every violated field."""


class TaskRunner:
    """Runs tasks for this process; safe for threads."""

    def __init__(
        self, settings: Settings, recording: Recording, redactor: Redactor, spending: Spending
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._redactor = redactor
        self._spending = spending

    def check(self, request: TaskRequest) -> Task:
        """Return the task as the agent takes it; TaskRefusedError names all that is wrong with it."""
        task = self._make_task(request)
        try:
            validate_task(task, self._agent_settings())
        except InvalidTaskError as error:
            raise TaskRefusedError(str(error)) from error
        if self._settings.disabled and _is_live(task.model) and self._has_budget(task):
            msg = "task refused: budget_usd: a budget cannot be kept while telemetry is disabled"
            raise TaskRefusedError(msg)
        return task

    def run(
        self,
        request: TaskRequest,
        *,
        on_start: Callable[[str, str], None] | None = None,
        parent: Context | None = None,
        limits: Limits | None = None,
    ) -> RunResult:
        """Run the task to its end; how it ended is in the result, and only a refused task raises.

        A store that a newer version has changed refuses every task (StoreTooNewError).

        `on_start` is told the task's id and trace id once both are on record. `parent` holds the caller's
        span. `limits` let another thread stop the task.
        """
        task = self.check(request)
        if not self._settings.disabled:
            _refuse_newer_store(self._settings.store_path)
        return self._run(task, on_start, parent, limits)

    def prepare(self, request: TaskRequest, *, parent: Context | None = None) -> PreparedTask:
        """Return the task, checked and not begun; TaskRefusedError names all that is wrong with it."""
        return PreparedTask(self.check(request), self._run, parent)

    def _run(
        self,
        task: Task,
        on_start: Callable[[str, str], None] | None,
        parent: Context | None,
        limits: Limits | None,
    ) -> RunResult:
        started_at, started = datetime.now(UTC), time.monotonic()
        with self._open_span(task, parent) as span:
            trace_id = format(trace.get_current_span().get_span_context().trace_id, "032x")
            self._note_start(task)
            _logger.info("task begins: model %s, priority %d", task.model, task.priority)
            if on_start is not None:
                on_start(task.id, trace_id)
            agent = build_agent(task, self._agent_settings(), gate=self._gate(task), limits=limits)
            outcome = agent.run(task)
            with interrupts.held_back():
                patch = self._keep(task, outcome)
                self._note_end(task, outcome, patch)
                _finish(span, outcome)
                _tell_end(outcome)
        self._recording.flush(_FLUSH_TIMEOUT_S)
        if outcome.error is not None and outcome.error.type == InvalidTaskError.error_type:
            raise TaskRefusedError(outcome.error.message)  # found out at work: another is in place there
        return RunResult(
            task_id=task.id,
            trace_id=trace_id,
            outcome=outcome.outcome.value,
            verification=outcome.verification.value,
            patch=patch,
            apply_to=find_patch_root(task.repository),
            findings=tuple(_describe_finding(finding) for finding in outcome.findings),
            error=_describe_error(outcome),
            cost=replace(self._spending.forget(task.id), is_replayed=task.model.startswith("replay:")),
            started_at=started_at,
            duration_s=time.monotonic() - started,
            summary=outcome.summary,
            files_changed=outcome.files_changed,
        )

    def preview(self, request: TaskRequest) -> Preview:
        """Diagnose and plan, do nothing; TaskRefusedError for a task that would be refused."""
        task = self.check(request)
        agent = build_agent(task, self._agent_settings(), gate=self._gate(task))
        try:
            plan, findings = agent.preview(task)
        except AgentError as error:
            msg = f"{error} ({error.hint})" if error.hint else str(error)
            raise UsageError(msg) from error
        return Preview(
            findings=tuple(_describe_finding(finding) for finding in findings),
            steps=tuple(
                {
                    "kind": step.kind.value,
                    "title": step.title,
                    "skill": step.skill,
                    "finding": _describe_finding(step.finding) if step.finding else None,
                }
                for step in plan.steps
            ),
            untreated=tuple(_describe_finding(finding) for finding in plan.untreated),
        )

    def _make_task(self, request: TaskRequest) -> Task:
        return Task(
            id=request.id or get_providers().task_id(),
            text=request.text,
            repository=request.repository.absolute(),
            kind=request.kind,
            source=request.source,
            priority=request.priority,
            model=request.model or self._settings.model,
            budget_usd=request.budget_usd,
            timeout=request.timeout,
            python=request.python,
            test_command=request.test_command,
            in_place=request.in_place,
            attempt=request.attempt,
            tools=request.tools,
        )

    def _agent_settings(self) -> AgentSettings:
        """Return the agent's part of the settings: the fields that both know by the same name."""
        known = {field.name for field in fields(AgentSettings)}
        return AgentSettings(**{name: getattr(self._settings, name) for name in known})

    def _open_span(self, task: Task, parent: Context | None) -> spans.TaskSpan:
        revision = read_revision(task.repository)
        return spans.task(
            task.kind,
            task_id=task.id,
            attempt=task.attempt,
            source=task.source,
            repository=revision.name,
            branch=revision.branch,
            revision=revision.commit,
            context=None if parent is None else context.as_sampled(parent),
        )

    def _gate(self, task: Task) -> ModelGate:
        def ask(*, provider: str, model: str, base_url: str | None) -> None:
            del provider, model, base_url
            try:
                self._spending.check(task.id, task.budget_usd)
            except BudgetUsedUpError as error:
                raise BudgetExceededError(str(error), hint="raise the budget, or use 'rules'") from error

        return ask

    def _has_budget(self, task: Task) -> bool:
        return task.budget_usd is not None or self._settings.cost_cap_daily_usd is not None

    # --- what a health check may ask: each returns whether it is good, and a line about it; makes nothing

    def probe_index(self) -> tuple[bool, str]:
        """Whether any repository was indexed; sqlite3.Error when an index cannot be read."""
        index = read_index_status(self._settings.home)
        if not index.chunks:
            return False, "nothing is indexed yet; the first task does it"
        places = "1 repository" if index.repositories == 1 else f"{index.repositories} repositories"
        return True, f"{index.chunks} passages of {index.files} files in {places}"

    def probe_vectors(self, collection: str) -> tuple[bool, str]:
        """Whether a collection (`codebase` of all repositories, or `skills`) answers a search."""
        settings = self._agent_settings()
        try:
            if collection == "codebase":
                return True, f"{probe_codebase(settings)} vectors"
            folder = settings.home / "index" / collection
            vectors = build_vector_index(settings, folder, collection, build_embedder(settings))
            return True, f"{probe_vectors(vectors)} vectors"
        except ToolMissingError as error:
            return False, f"{error} ({error.hint})"

    def probe_embedder(self) -> tuple[bool, str]:
        """Whether the embedder embeds a word; a provider is not asked, since that costs."""
        embedder = build_embedder(self._agent_settings())
        dimensions = probe_embedder(embedder)
        if dimensions is None:
            return True, f"{embedder.provider}:{embedder.name}, which is not asked here"
        return True, f"{embedder.name}, {dimensions} dimensions"

    # --- what is kept

    def _keep(self, task: Task, outcome: Outcome) -> Path | None:
        """Write summary and patch below the home; return the patch's path, None when there is none."""
        try:
            folder = self._write_results(self._settings.tasks_path / task.id, task, outcome)
        except OSError as error:
            folder = self._write_results(Path(mkdtemp(prefix=f"{task.id}-")), task, outcome)
            _logger.warning("the home folder cannot be written (%s); results are in %s", error, folder)
        has_patch = bool(outcome.patch) and not task.in_place
        return (folder / "patch.diff").absolute() if has_patch else None

    def _write_results(self, folder: Path, task: Task, outcome: Outcome) -> Path:
        """Write the patch as it is, since it has to apply, and a summary without secrets."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / "summary.md", self._redactor.text(_summarise(task, outcome))[0])
        if outcome.patch:
            _write(folder / "patch.diff", outcome.patch)
        return folder

    def _note_start(self, task: Task) -> None:
        """Write what the span does not hold, and see it in the store before anything is done."""
        self._note(task.id, text=task.text, repository=str(task.repository), model=task.model)
        self._recording.flush(_FLUSH_TIMEOUT_S)

    def _note_end(self, task: Task, outcome: Outcome, patch: Path | None) -> None:
        error = _describe_error(outcome)
        self._note(
            task.id,
            findings=json.dumps([_describe_finding(finding) for finding in outcome.findings]),
            patch_path=str(patch) if patch else None,
            summary=outcome.summary,
            error=json.dumps(error) if error else None,
        )

    def _note(self, task_id: str, **texts: str | None) -> None:
        clean = {name: self._redactor.text(text)[0] for name, text in texts.items() if text is not None}
        self._recording.submit(TaskNote(task_id, **clean))


class PreparedTask:
    """A task that was checked: run it once, on any thread, stop it from any other."""

    def __init__(
        self,
        task: Task,
        run: Callable[[Task, Callable[[str, str], None] | None, Context | None, Limits], RunResult],
        parent: Context | None,
    ) -> None:
        self.id = task.id
        self._task = task
        self._run = run
        self._parent = parent
        self._limits: TaskLimits | None = None
        self._is_stopped = False
        self._lock = threading.Lock()

    def run(self, on_start: Callable[[str, str], None] | None = None) -> RunResult:
        """Run it to its end, as `TaskRunner.run` does; its time counts from here."""
        with self._lock:
            limits = self._limits = TaskLimits(self._task.timeout)
            if self._is_stopped:
                limits.stop()
        return self._run(self._task, on_start, self._parent, limits)

    def stop(self) -> None:
        """Ask it to end as `stopped`; one that has not begun does so at its first step."""
        with self._lock:
            self._is_stopped = True
            if self._limits is not None:
                self._limits.stop()


def caller_context(environment: Mapping[str, str]) -> Context:
    """Return the context of whoever started this process, from TRACEPARENT and TRACESTATE."""
    return context.extract(environment)


def _refuse_newer_store(path: Path) -> None:
    try:
        open_database(path, create=False, read_only=True).close()
    except StoreTooNewError:
        raise
    except StoreError:  # none yet, or one that cannot be used: the recording warns, and the task goes on
        return


def _is_live(model: str) -> bool:
    return model.startswith(("openai:", "anthropic:"))


def _finish(span: spans.TaskSpan, outcome: Outcome) -> None:
    span.finish(
        outcome.outcome.value,
        verification=outcome.verification.value,
        files_changed=len(outcome.files_changed),
        error_type=outcome.error.type if outcome.error else None,
        description=outcome.error.message if outcome.error else "",
    )


def _describe_finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "message": finding.message,
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
    }


def _describe_error(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.error is None:
        return None
    error = outcome.error
    return {
        "type": error.type,
        "message": error.message,
        "phase": error.phase.value,
        "step": error.step,
        "hint": error.hint,
    }


def _summarise(task: Task, outcome: Outcome) -> str:
    """Return the summary that lies beside the patch, as Markdown."""
    lines = [f"# {task.id}: {outcome.outcome.value}", "", task.text.strip(), "", outcome.summary, ""]
    lines += [f"- {finding.rule} {finding.where()} {finding.message}" for finding in outcome.findings]
    if outcome.error is not None:
        error = outcome.error
        facts = {**error.state, **error.environment}
        lines += ["", f"Error `{error.type}` in phase {error.phase.value}: {error.message}", error.hint]
        lines += [f"- {name}: {value}" for name, value in facts.items()]
    return "\n".join(lines).rstrip() + "\n"


def _tell_end(outcome: Outcome) -> None:
    """Write the log line that a person who reads only the log needs."""
    is_good = outcome.outcome in {TaskOutcome.SUCCEEDED, TaskOutcome.NEEDS_REVIEW}
    _logger.log(
        logging.INFO if is_good else logging.WARNING,
        "task ends: %s, %s, %d findings, %d files changed%s",
        outcome.outcome,
        outcome.verification,
        len(outcome.findings),
        len(outcome.files_changed),
        f"; {outcome.error.message}" if outcome.error else "",
    )


def _write(path: Path, text: str) -> None:
    """Write bytes as they were: a patch may hold text that is not UTF-8."""
    with open(path, "wb", opener=open_private) as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))
