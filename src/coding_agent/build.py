"""Puts the agent together; the only file that knows all its parts."""

from __future__ import annotations

import contextlib
import platform
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from coding_agent.actions import build_actions
from coding_agent.agent import Agent, Equipment
from coding_agent.errors import AgentError
from coding_agent.executor import StepExecutor
from coding_agent.limits import TaskLimits
from coding_agent.memory import FileMemory
from coding_agent.models import build_model
from coding_agent.planning.diagnosis import RuleDiagnosis
from coding_agent.planning.edit import apply_edit
from coding_agent.planning.model import ModelPlanner
from coding_agent.planning.rules import RulePlanner
from coding_agent.retrieval import build_embedder, build_retriever, build_skill_index
from coding_agent.skills.library import FolderLibrary
from coding_agent.tools import build_workbench, process
from coding_agent.verification import SuiteVerifier
from coding_agent.workspace import InPlaceWorkspace, choose_workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from coding_agent.protocols import (
        Embedder,
        Limits,
        Model,
        ModelGate,
        Planner,
        Retriever,
        SkillLibrary,
        Workbench,
        Workspace,
    )
    from coding_agent.records import AgentSettings, Fact, Task

RULES = "rules"
"""The planner's name that stands for: no model at all."""


def build_agent(
    task: Task, settings: AgentSettings, *, gate: ModelGate | None = None, limits: Limits | None = None
) -> Agent:
    """Return the agent for one task; it serves this task only.

    `gate` is asked before each live model call. `limits` are the task's own unless somebody else keeps
    them, say to stop the task from another thread.
    """
    workshop = _Workshop(task, settings, gate, limits or TaskLimits(task.timeout))
    return Agent(
        lambda asked: choose_workspace(asked, settings, process.run_process, workshop.limits),
        workshop.equip,
        max_rounds=settings.max_rounds,
        describe_environment=lambda: _describe_environment(settings),
    )


@dataclass(frozen=True, slots=True)
class _Workshop:
    """What is known of a task before its work tree stands."""

    task: Task
    settings: AgentSettings
    gate: ModelGate | None
    limits: Limits

    def equip(self, root: Path, workspace: Workspace) -> Equipment:
        """Return the parts of the agent, on the work tree `root`."""
        protected = workspace.protected if isinstance(workspace, InPlaceWorkspace) else ()
        bench = build_workbench(root, self.task, self.settings, self.limits, protected=protected)
        embedder = build_embedder(self.settings, gate=self.gate)
        library = self._build_library()
        retriever = self._build_retriever(bench)
        model = self._build_model()
        planner = self._build_planner(model, bench, library, retriever)
        diagnosis, verifier = RuleDiagnosis(bench, self.task), SuiteVerifier(bench.tests)
        actions = build_actions(bench, diagnosis, library, verifier, apply_edit)
        return Equipment(
            planner=planner,
            executor=StepExecutor(actions, self.limits),
            retriever=retriever,
            memory=self._build_memory(embedder),
            library=library,
            finish=model.close if model else _do_nothing,
            release=partial(_close_quietly, model),
        )

    def _build_library(self) -> FolderLibrary:
        home, index = self.settings.home / "skills", build_skill_index(self.settings, gate=self.gate)
        return FolderLibrary(home, index=index, min_similarity=self.settings.skill_min_similarity)

    def _build_retriever(self, bench: Workbench) -> Retriever:
        return build_retriever(
            self.settings,
            repository=self.task.repository,
            root=bench.root,
            paths=lambda: bench.files.paths("**/*"),
            gate=self.gate,
        )

    def _build_memory(self, embedder: Embedder) -> FileMemory:
        return FileMemory(
            self.settings.home,
            embedder,
            results=self.settings.memory_results,
            summarise_above=self.settings.memory_summarise_above,
        )

    def _build_model(self) -> Model | None:
        if self.task.model == RULES:
            return None
        return build_model(self.task.model, self.settings, self.gate, limits=self.limits)

    def _build_planner(
        self, model: Model | None, bench: Workbench, library: SkillLibrary, retriever: Retriever
    ) -> Planner:
        if model is None:
            return RulePlanner(library)
        text = self.task.text
        return ModelPlanner(
            model, library, bench.files, bench.root, lambda: retriever.retrieve(text).passages
        )


def _do_nothing() -> None:
    pass


def _close_quietly(model: Model | None) -> None:
    """Let go of a model after whatever happened; what is wrong with it was said before."""
    if model is not None:
        with contextlib.suppress(AgentError):
            model.close()


def _describe_environment(settings: AgentSettings) -> Mapping[str, Fact]:
    """Return versions and free space: what a person asks first when something failed on another's machine."""
    facts: dict[str, Fact] = {"python": platform.python_version(), "platform": sys.platform}
    if settings.home.exists():
        facts["disk_free_bytes"] = shutil.disk_usage(settings.home).free
    return facts
