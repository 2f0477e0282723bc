"""Which method of the coding agent becomes which span: one table, and what each span reads off its call.

To observe another agent, copy this file and name its methods. Arguments and results of commands, prompts and
file contents are never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coding_agent.records import StepOutcome, Usage
from taskscope.semconv import attributes as attr
from taskscope.semconv import events
from taskscope.telemetry import spans
from taskscope.telemetry.events import emit_event

from ._patch import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from coding_agent.protocols import Embedder, Model, Skill, SkillLibrary
    from coding_agent.records import (
        Command,
        CommandResult,
        Finding,
        IndexReport,
        MemoryEntry,
        Plan,
        PlannedStep,
        Repair,
        Reply,
        Retrieval,
        StepResult,
        Task,
    )

    Facts = Mapping[str, Any]

ROLE = "coder"
"""The agent has one role."""
_LIVE_PREFIXES = ("openai:", "anthropic:")

_MODELS = "coding_agent.models"
_RETRIEVAL = "coding_agent.retrieval"
_SKILLS = "coding_agent.skills"
_TOOLS = "coding_agent.tools"
_WORKSPACE = "coding_agent.workspace"


# agent, plan, step


def _agent_facts(_agent: object, task: Task, *_rest: object) -> Facts:
    is_live = task.model.startswith(_LIVE_PREFIXES)
    return {"role": ROLE, "model": task.model.partition(":")[2] if is_live else None}


def _plan_by(source: str) -> Callable[..., Facts]:
    def facts(_planner: object, _task: Task, _findings: Sequence[Finding], *, revision: int) -> Facts:
        return {"role": ROLE, "source": source, "revision": revision}

    return facts


def _plan_result(span: spans.PlanSpan, plan: Plan, *_call: object, **_options: object) -> None:
    span.finish(step_count=len(plan.steps), reason=plan.reason, source=plan.source)


def _step_facts(_executor: object, step: PlannedStep, *, index: int, attempt: int = 1) -> Facts:
    return {"kind": step.kind.value, "index": index, "attempt": attempt}


def _step_result(span: spans.StepSpan, result: StepResult, *_call: object, **_options: object) -> None:
    is_failed = result.outcome is StepOutcome.FAILED
    span.finish(
        result.outcome.value, error_type=result.error_type, description=result.summary if is_failed else ""
    )


# models


def _chat_facts(model: Model, *_rest: object, **_options: object) -> Facts:
    return {
        "model": model.name,
        "provider": model.provider,
        "mode": model.mode,
        "origin": getattr(model, "origin", None),
        "base_url": getattr(model, "base_url", None),
    }


def _chat_result(span: spans.ModelSpan, reply: Reply, *_call: object, **_options: object) -> None:
    _record_usage(span, reply.usage)
    span.record_response(
        model=reply.model,
        response_id=reply.response_id,
        finish_reasons=reply.finish_reasons,
        retry_count=reply.retry_count,
    )


def _embed_facts(embedder: Embedder, texts: Sequence[str]) -> Facts:
    return {
        "model": embedder.name,
        "provider": embedder.provider,
        "inputs": len(texts),
        "base_url": getattr(embedder, "base_url", None),
    }


def _embed_result(span: spans.EmbeddingsSpan, found: Any, embedder: Embedder, *_call: object) -> None:
    _record_usage(span, found.usage)
    span.finish(
        dimensions=embedder.dimensions or None, cache_hits=found.cache_hits, live_calls=found.live_calls
    )


def _record_usage(span: spans.ModelSpan, usage: Usage | None) -> None:
    if usage is not None:
        span.record_usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
        )


# retrieval


def _index_facts(retriever: Any) -> Facts:
    return {"index_name": retriever.name}


def _index_result(span: spans.IndexSpan, report: IndexReport, *_call: object) -> None:
    span.finish(indexed=report.indexed, unchanged=report.unchanged, skipped=sum(report.skipped.values()))


def _find_facts(retriever: Any, _text: str, *, limit: int | None = None) -> Facts:
    return {"source": retriever.name, "top_k": limit}


def _find_result(span: spans.RetrievalSpan, found: Retrieval, *_call: object, **_options: object) -> None:
    if found.mode == "none":
        span.fail("_OTHER", "no stage could answer")
    span.finish(
        results=len(found.passages),
        candidates=found.candidates,
        mode=found.mode if found.mode != "none" else None,
    )


def _bm25_facts(index: Any, *_rest: object, **_options: object) -> Facts:
    return {"index": index.name, "system": "sqlite"}


def _vector_facts(index: Any, *_rest: object, **_options: object) -> Facts:
    return {"collection": index.name, "system": "sqlite"}


def _chroma_facts(index: Any, *_rest: object, **_options: object) -> Facts:
    return {"collection": index.name, "system": "chroma"}


def _ranking_result(span: spans.StageSpan, ranking: Any, *_call: object, **_options: object) -> None:
    span.finish(results=len(ranking.hits), candidates=ranking.candidates)


def _fuse_facts(_rankings: object, k: int | None = None) -> Facts:
    return {"k": k}


def _fuse_result(span: spans.StageSpan, fused: Sequence[object], *_call: object, **_options: object) -> None:
    span.finish(results=len(fused))


# memory and skills


def _recall_facts(*_call: object, **_options: object) -> Facts:
    return {"store": "archive"}


def _recall_result(
    span: spans.MemorySearchSpan, found: Sequence[object], *_call: object, **_o: object
) -> None:
    span.finish(records=len(found))


def _upsert_facts(_memory: object, entry: MemoryEntry) -> Facts:
    return {"store": entry.store, "record_id": entry.id}


def _upsert_result(span: spans.MemoryWriteSpan, _nothing: None, *_call: object) -> None:
    span.finish(records=1)


def _select_facts(_library: object, _finding: Finding) -> Facts:
    return {"source": "skills"}


def _select_result(
    span: spans.RetrievalSpan, found: Sequence[Skill], library: Any, _finding: Finding
) -> None:
    names = [skill.name for skill in found]
    span.finish(results=len(names), candidates=len(library.skills), skills=names)


def _learn_facts(*_call: object, **_options: object) -> Facts:
    return {"store": "skills"}


def _learn_result(
    span: spans.MemoryWriteSpan, name: str | None, _library: SkillLibrary, *_call: object, **_options: object
) -> None:
    span.finish(records=0 if name is None else 1)
    if name is not None:
        emit_event(events.SKILL_LEARNED, {attr.GEN_AI_SKILL_NAME: name})


def _skill_facts(skill: Skill, *_rest: object, **_options: object) -> Facts:
    return {"name": skill.name, "description": skill.description}


def _skill_result(span: spans.SkillSpan, repair: Repair, *_call: object, **_options: object) -> None:
    span.finish(repair.outcome.value, description=repair.summary)


def _library_facts(*_call: object, **_options: object) -> Facts:
    return {"index_name": "skills"}


def _library_result(
    span: spans.IndexSpan, _nothing: None, library: Any, *_call: object, **_o: object
) -> None:
    span.finish(indexed=len(library.skills), unchanged=0, skipped=len(library.problems))


# tools and programs


def _tool(name: str) -> Callable[..., Facts]:
    return lambda *_call, **_options: {"name": name}


def _output_result(span: spans.ToolSpan, result: CommandResult, *_call: object, **_options: object) -> None:
    span.record_output(result.output_bytes, is_truncated=result.is_truncated)


def _command_facts(command: Command, **_options: object) -> Facts:
    return {"executable": command.argv[0]}


def _command_result(
    span: spans.CommandSpan, result: CommandResult, *_call: object, **_options: object
) -> None:
    span.finish(pid=result.pid, exit_code=result.exit_code, is_timed_out=result.is_timed_out)


TABLE = (
    Row("coding_agent.agent", "Agent.work", spans.agent, _agent_facts),
    Row("coding_agent.agent", "Agent.preview", spans.agent, _agent_facts),
    Row("coding_agent.planning.rules", "RulePlanner.plan", spans.plan, _plan_by("rules"), _plan_result),
    Row("coding_agent.planning.model", "ModelPlanner.plan", spans.plan, _plan_by("llm"), _plan_result),
    Row("coding_agent.executor", "StepExecutor.execute", spans.step, _step_facts, _step_result),
    Row(f"{_MODELS}.replay", "ReplayModel.complete", spans.chat, _chat_facts, _chat_result),
    Row(f"{_MODELS}.openai", "OpenAIModel.complete", spans.chat, _chat_facts, _chat_result),
    Row(f"{_MODELS}.anthropic", "AnthropicModel.complete", spans.chat, _chat_facts, _chat_result),
    Row(f"{_RETRIEVAL}.embedding", "HashEmbedder.embed", spans.embeddings, _embed_facts, _embed_result),
    Row(f"{_RETRIEVAL}.embedding", "OpenAIEmbedder.embed", spans.embeddings, _embed_facts, _embed_result),
    Row(f"{_RETRIEVAL}.hybrid", "HybridRetriever.index", spans.index, _index_facts, _index_result),
    Row(f"{_RETRIEVAL}.hybrid", "HybridRetriever.retrieve", spans.retrieval, _find_facts, _find_result),
    Row(f"{_RETRIEVAL}.hybrid", "fuse", spans.fuse, _fuse_facts, _fuse_result),
    Row(f"{_RETRIEVAL}.bm25", "Bm25Index.search", spans.bm25, _bm25_facts, _ranking_result),
    Row(f"{_RETRIEVAL}.vector", "SqliteVectorIndex.search", spans.vector, _vector_facts, _ranking_result),
    Row(f"{_RETRIEVAL}.chroma", "ChromaVectorIndex.search", spans.vector, _chroma_facts, _ranking_result),
    Row("coding_agent.memory", "FileMemory.search", spans.search_memory, _recall_facts, _recall_result),
    Row("coding_agent.memory", "FileMemory.upsert", spans.upsert_memory, _upsert_facts, _upsert_result),
    Row(f"{_SKILLS}.library", "FolderLibrary.__init__", spans.index, _library_facts, _library_result),
    Row(f"{_SKILLS}.library", "FolderLibrary.select", spans.retrieval, _select_facts, _select_result),
    Row(f"{_SKILLS}.library", "FolderLibrary.learn", spans.upsert_memory, _learn_facts, _learn_result),
    Row(f"{_SKILLS}.skill", "FolderSkill.run", spans.skill, _skill_facts, _skill_result),
    Row(f"{_WORKSPACE}.clone", "GitWorkspace.open", spans.tool, _tool("worktree"), is_context=True),
    Row(f"{_WORKSPACE}.clone", "GitWorkspace.patch", spans.tool, _tool("worktree")),
    Row(f"{_WORKSPACE}.plain", "CopyWorkspace.open", spans.tool, _tool("worktree"), is_context=True),
    Row(f"{_WORKSPACE}.plain", "CopyWorkspace.patch", spans.tool, _tool("worktree")),
    Row(f"{_WORKSPACE}.in_place", "InPlaceWorkspace.open", spans.tool, _tool("worktree"), is_context=True),
    Row(f"{_WORKSPACE}.in_place", "InPlaceWorkspace.patch", spans.tool, _tool("worktree")),
    Row(f"{_TOOLS}.shell", "ShellTool.run", spans.tool, _tool("shell"), _output_result),
    Row(f"{_TOOLS}.files", "FilesTool.write", spans.tool, _tool("files")),
    Row(f"{_TOOLS}.files", "FilesTool.paths", spans.tool, _tool("files")),
    Row(f"{_TOOLS}.search", "SearchTool.find", spans.tool, _tool("search")),
    Row(f"{_TOOLS}.git", "GitTool.run", spans.tool, _tool("git"), _output_result),
    Row(f"{_TOOLS}.git", "GitTool.bisect", spans.tool, _tool("git")),
    Row(f"{_TOOLS}.pytest", "PytestTool.run", spans.tool, _tool("pytest")),
    Row(f"{_TOOLS}.ruff", "RuffTool.check", spans.tool, _tool("ruff")),
    Row(f"{_TOOLS}.ruff", "RuffTool.fix", spans.tool, _tool("ruff")),
    Row(f"{_TOOLS}.process", "run_process", spans.command, _command_facts, _command_result),
)
"""Every row is resolved by a test."""
