"""The routes of tasks: start one, see those that were and are, stop one.

A task that comes by HTTP works on a repository below an allowed root, and what runs there is decided on this
machine: the interpreter, the test command and edits in place are not asked for here.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from opentelemetry import context as otel_context
from pydantic import BaseModel, ConfigDict, Field

from taskscope.errors import NotFoundError, StoreError
from taskscope.store.shapes import shape_log, shape_span, shape_task
from taskscope.tasks.records import TaskRequest
from taskscope.telemetry import spans

from .ascii_json import AsciiJSONResponse
from .desk import DeskFullError, Entry, TaskDesk
from .problems import current_trace_id, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskscope.bootstrap import Runtime
    from taskscope.store.history import History, TaskSummary

_REPLAY = "replay:"
_RETRY_AFTER_S = "10"

TaskId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The whole id of a task.")]
Limit = Annotated[int, Field(ge=1, le=1000)]


class NewTask(BaseModel):
    """What to do, and where."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(description="What to do, in words.")
    repository: str = Field(description="Absolute path of a folder below an allowed root.")
    kind: str = Field("repair", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    priority: int = Field(5, ge=0, le=9)
    model: str | None = Field(None, description="rules, replay:FILE, openai:MODEL or anthropic:MODEL.")
    budget_usd: float | None = Field(None, ge=0)
    timeout: float | None = Field(None, gt=0, description="Seconds.")


def build_router(runtime: Runtime, desk: TaskDesk) -> APIRouter:
    """Return the routes below `/tasks`."""
    router = APIRouter(prefix="/tasks", tags=["tasks"])
    routes = _TaskRoutes(runtime, desk)
    router.add_api_route("", routes.start, methods=["POST"], status_code=202)
    router.add_api_route("", routes.list_all, methods=["GET"])
    router.add_api_route("/{task_id}", routes.show, methods=["GET"])
    router.add_api_route("/{task_id}/spans", routes.show_spans, methods=["GET"])
    router.add_api_route("/{task_id}/logs", routes.show_logs, methods=["GET"])
    router.add_api_route("/{task_id}", routes.stop, methods=["DELETE"], status_code=202)
    return router


class _TaskRoutes:
    """Plain functions on purpose: each runs on a thread of the server's pool, since the store blocks."""

    def __init__(self, runtime: Runtime, desk: TaskDesk) -> None:
        self._runtime = runtime
        self._desk = desk

    def start(self, task: NewTask) -> AsciiJSONResponse:
        """Start a task; answers as soon as it is accepted."""
        roots = self._runtime.settings.allowed_roots
        repository = find_allowed(task.repository, roots)
        if repository is None:
            return problem(
                403, "the repository has to be a folder below an allowed root (AGENT_ALLOWED_ROOTS)"
            )
        model = task.model
        if model is not None and model.startswith(_REPLAY):
            recording = find_allowed(model.removeprefix(_REPLAY), roots)
            if recording is None:
                return problem(403, "the recording has to lie below an allowed root (AGENT_ALLOWED_ROOTS)")
            model = f"{_REPLAY}{recording}"
        request = TaskRequest(
            text=task.text,
            repository=repository,
            kind=task.kind,
            source="http",
            priority=task.priority,
            model=model,
            budget_usd=task.budget_usd,
            timeout=task.timeout,
        )
        prepared = self._runtime.runner.prepare(request, parent=otel_context.get_current())
        try:
            entry = self._desk.accept(prepared, trace_id=current_trace_id(), text=task.text)
        except DeskFullError:
            detail = f"{self._desk.limit} tasks run and wait already, or the service is about to end"
            return problem(429, detail, headers={"Retry-After": _RETRY_AFTER_S})
        return AsciiJSONResponse(_accepted(entry), 202, headers={"Location": f"/tasks/{entry.task.id}"})

    def list_all(self, limit: Limit = 50) -> AsciiJSONResponse:
        """The newest tasks of this host, newest first; those in line here come before."""
        tasks = self._read("task", lambda history: history.tasks(limit))
        known = {task.task_id for task in tasks}
        waiting = [entry for entry in self._desk.waiting() if entry.task.id not in known]
        shapes = [*map(_waiting, waiting), *map(shape_task, tasks)]
        return AsciiJSONResponse(shapes[:limit])

    def show(self, task_id: TaskId) -> AsciiJSONResponse:
        """One task: how it stands or how it ended."""
        try:
            return AsciiJSONResponse(shape_task(self._read("task", lambda history: _find(history, task_id))))
        except (NotFoundError, StoreError):
            entry = self._desk.find(task_id)
            if entry is None:
                raise
            return AsciiJSONResponse(_waiting(entry))

    def show_spans(self, task_id: TaskId) -> AsciiJSONResponse:
        """The task's span with all below it, as `show --json` prints it."""

        def read(history: History) -> dict[str, Any]:
            return shape_span(history.tree(_find(history, task_id)))

        return AsciiJSONResponse(self._read("span", read))

    def show_logs(self, task_id: TaskId, limit: Limit = 1000) -> AsciiJSONResponse:
        """The task's log lines and events, as `logs --json` prints them."""

        def read(history: History) -> list[dict[str, Any]]:
            return [shape_log(line) for line in history.logs(_find(history, task_id), limit)]

        return AsciiJSONResponse(self._read("log", read))

    def stop(self, task_id: TaskId) -> AsciiJSONResponse:
        """Stop a task that this service runs; it ends as `stopped`."""
        entry = self._desk.stop(task_id)
        if entry is not None:
            return AsciiJSONResponse({"task_id": task_id, "state": "stopping"}, 202)
        task = self._read("task", lambda history: _find(history, task_id))
        if task.outcome is not None:
            return problem(409, f"the task has ended: {task.outcome}")
        return problem(409, "the task runs in another process, which alone can stop it")

    def _read(self, table: str, read: Callable[[History], Any]) -> Any:
        """Read the store under a span of its own."""
        with (
            spans.database("SELECT", system="sqlite", collection=table),
            closing(self._runtime.recording.history()) as history,
        ):
            return read(history)


def find_allowed(path: str, roots: Sequence[Path]) -> Path | None:
    """Return the real path, links resolved, if it is absolute and lies in or below an allowed root."""
    if not os.path.isabs(path) or "\0" in path:  # noqa: PTH117  a text of the caller's, not a path yet
        return None
    real = Path(os.path.realpath(path))
    is_below = any(real.is_relative_to(os.path.realpath(root)) for root in roots)
    return real if is_below else None


def _find(history: History, task_id: str) -> TaskSummary:
    """Return the task of a whole id; NotFoundError for the beginning of one."""
    task = history.find_task(task_id)
    if task.task_id != task_id:
        msg = f"no task {task_id!r}; the whole id is needed here"
        raise NotFoundError(msg)
    return task


def _accepted(entry: Entry) -> dict[str, Any]:
    own = f"/tasks/{entry.task.id}"
    return {
        "task_id": entry.task.id,
        "trace_id": entry.trace_id,
        "state": entry.state,
        "links": {"self": own, "spans": f"{own}/spans", "logs": f"{own}/logs"},
    }


def _waiting(entry: Entry) -> dict[str, Any]:
    """Return the object of a task that the ledger does not know yet."""
    return {"task_id": entry.task.id, "trace_id": entry.trace_id, "outcome": None, "state": entry.state}
