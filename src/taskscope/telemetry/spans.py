"""One context manager (and decorator) for each kind of span of the contract.

`with spans.step("test", index=0) as step: ... step.finish("failed")`: each function returns an `Operation`
that was not started, with name, kind and start attributes of the contract; its class has the typed setters
for the rest.
"""

from __future__ import annotations

from ._model import EmbeddingsSpan, ModelSpan, chat, embeddings
from ._retrieval import (
    DatabaseSpan,
    IndexSpan,
    MemorySearchSpan,
    MemoryWriteSpan,
    RetrievalSpan,
    StageSpan,
    bm25,
    database,
    fuse,
    index,
    retrieval,
    search_memory,
    upsert_memory,
    vector,
)
from ._task import AgentSpan, PlanSpan, StepSpan, TaskSpan, agent, plan, step, task
from ._tool import CommandSpan, HealthSpan, SkillSpan, ToolSpan, command, health_check, skill, tool
from .operation import Operation
from .pricing import Pricer, set_pricer
from .usage import TokenUsage

__all__ = [
    "AgentSpan",
    "CommandSpan",
    "DatabaseSpan",
    "EmbeddingsSpan",
    "HealthSpan",
    "IndexSpan",
    "MemorySearchSpan",
    "MemoryWriteSpan",
    "ModelSpan",
    "Operation",
    "PlanSpan",
    "Pricer",
    "RetrievalSpan",
    "SkillSpan",
    "StageSpan",
    "StepSpan",
    "TaskSpan",
    "TokenUsage",
    "ToolSpan",
    "agent",
    "bm25",
    "chat",
    "command",
    "database",
    "embeddings",
    "fuse",
    "health_check",
    "index",
    "plan",
    "retrieval",
    "search_memory",
    "set_pricer",
    "skill",
    "step",
    "task",
    "tool",
    "upsert_memory",
    "vector",
]
