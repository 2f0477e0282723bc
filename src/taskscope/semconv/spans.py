"""What spans are called, which operations there are, and the closed sets of attribute values.

A span's name is its word and, where the contract has one, the name of the thing: `plan coder`. How a span is
opened, filled and ended stands in `telemetry/`.
"""

from __future__ import annotations

from typing import Final

# Operations of the GenAI conventions, values of `gen_ai.operation.name`; each is the first word of its span.

INVOKE_WORKFLOW: Final = "invoke_workflow"
"""A task: `invoke_workflow {task kind}`."""
INVOKE_AGENT: Final = "invoke_agent"
"""An agent's work on a task: `invoke_agent {role}`."""
PLAN: Final = "plan"
"""The making of a plan: `plan {role}`; a call to a model is its child, the steps are its siblings."""
CHAT: Final = "chat"
"""One call of a language model, retries inside: `chat {model}`."""
EMBEDDINGS: Final = "embeddings"
"""Texts turned into vectors: `embeddings {model}`."""
RETRIEVAL: Final = "retrieval"
"""A search for passages or skills: `retrieval {source}`."""
EXECUTE_TOOL: Final = "execute_tool"
"""One use of a tool: `execute_tool {tool}`, with a skill `execute_tool {tool} {skill}`."""
SEARCH_MEMORY: Final = "search_memory"
"""A look into a memory."""
UPSERT_MEMORY: Final = "upsert_memory"
"""A record written to a memory or replaced in it."""

OPERATIONS: Final = (
    INVOKE_WORKFLOW,
    INVOKE_AGENT,
    PLAN,
    CHAT,
    EMBEDDINGS,
    RETRIEVAL,
    EXECUTE_TOOL,
    SEARCH_MEMORY,
    UPSERT_MEMORY,
)
"""All values of `gen_ai.operation.name` that we emit."""

# Spans without `gen_ai.operation.name`; a command's span is named by its executable alone.

STEP: Final = "step"
"""One step of a plan: `step {kind}`."""
INDEX: Final = "index"
"""An index brought up to date: `index {index}`."""
BM25: Final = "bm25"
"""Retrieval stage, full text: `bm25 {index}`."""
VECTOR: Final = "vector"
"""Retrieval stage, by similarity: `vector {collection}`."""
FUSE: Final = "fuse"
"""Retrieval stage that merges the others' rankings."""
HEALTH_CHECK: Final = "health_check"
"""A health check, always the root of its own trace: `health_check {check}`."""

# Closed sets. Where a host's own words may come (kinds of tasks and steps), they pass as they are.

TASK_OUTCOMES: Final = ("succeeded", "failed", "stopped", "interrupted", "needs_llm", "needs_review")
"""Values of `taskscope.task.outcome`; `interrupted` is said by others, of a process that died."""
TASK_OUTCOMES_OK: Final = ("succeeded", "needs_llm", "needs_review")
"""Outcomes that leave the span's status UNSET; the others are errors."""
TASK_SOURCES: Final = ("api", "cli", "http", "queue", "background")
"""Values of `taskscope.task.source`."""
TASK_PHASES: Final = ("validate", "recall", "retrieve", "plan", "execute", "verify", "remember")
"""Values of `taskscope.task.phase`."""
VERIFICATIONS: Final = ("passed", "failed", "not_verified")
"""Values of `taskscope.task.verification`."""
PLAN_SOURCES: Final = ("rules", "llm")
"""Values of `taskscope.plan.source`."""
PLAN_REASONS: Final = ("initial", "replan", "resume")
"""Values of `taskscope.plan.reason`."""
STEP_KINDS: Final = (
    "search",
    "read",
    "edit",
    "command",
    "test",
    "lint",
    "git",
    "skill",
    "ask",
    "verify",
    "other",
)
"""Values of `taskscope.step.kind` that our own agent uses."""
STEP_OUTCOMES: Final = ("succeeded", "failed", "skipped", "stopped", "interrupted")
"""Values of `taskscope.step.outcome`."""
STEP_OUTCOMES_OK: Final = ("succeeded", "skipped")
"""Outcomes that leave a step's status UNSET; the others are errors."""
LLM_MODES: Final = ("live", "replay")
"""Values of `taskscope.llm.mode`."""
LLM_ORIGINS: Final = ("captured", "synthetic")
"""Values of `taskscope.llm.origin`; a synthetic answer was written by hand and carries no usage."""
STREAM_OUTCOMES: Final = ("completed", "cancelled", "abandoned")
"""Values of `taskscope.llm.stream_outcome`; an abandoned answer was not read to its end."""
COST_STATUSES: Final = ("known", "unknown")
"""Values of `taskscope.cost.status`."""
COST_CALL_FAILED: Final = "call_failed"
"""`taskscope.cost.unknown_reason` of a call that failed before any usage came."""
COST_UNKNOWN_REASONS: Final = (
    "unknown_model",
    "missing_usage",
    "local_model",
    "no_price_data",
    COST_CALL_FAILED,
)
"""Values of `taskscope.cost.unknown_reason`."""
RETRIEVAL_MODES: Final = ("hybrid", "bm25", "vector")
"""Values of `taskscope.retrieval.mode`."""
RETRIEVAL_STAGES: Final = (BM25, VECTOR, FUSE)
"""Values of `taskscope.retrieval.stage`."""
FUSION_METHODS: Final = ("rrf",)
"""Values of `taskscope.retrieval.fusion_method`."""
CACHE_RESULTS: Final = ("hit", "miss")
"""Values of `taskscope.cache.result`."""
TOOL_TYPES: Final = ("function", "extension", "datastore")
"""Values of `gen_ai.tool.type`."""
TOKEN_MODALITIES: Final = ("text", "image", "audio", "unknown")
"""Values of `gen_ai.token.modality`."""
SKILL_OUTCOMES: Final = ("succeeded", "failed", "not_applicable")
"""Values of `taskscope.skill.outcome`."""
SKILL_SELECTIONS: Final = ("offered", "chosen")
"""Values of `taskscope.skill.selection`."""
HEALTH_GROUPS: Final = ("live", "ready", "startup")
"""Values of `taskscope.health.group`."""
HEALTH_STATUSES: Final = ("pass", "warn", "fail")
"""Values of `taskscope.health.status`."""
SIGNALS: Final = ("traces", "logs", "metrics")
"""Values of `taskscope.signal`."""
DROP_REASONS: Final = (
    "queue_full",
    "file_full",
    "expired",
    "encode_error",
    "write_error",
    "refused",
    "shutdown",
)
"""Values of `taskscope.drop.reason`."""
QUARANTINE_REASONS: Final = ("too_large", "refused")
"""Values of `taskscope.quarantine.reason`."""
COMPONENTS: Final = ("instrumentation", "processor", "receiver", "recorder", "shipper", "store")
"""Values of `taskscope.component`."""
BUDGET_SCOPES: Final = ("task", "day")
"""Values of `taskscope.budget.scope`."""

OTHER: Final = "other"
"""What run time says for a value outside of its closed set, and for the 101st value of an open label."""

ERROR_INTERRUPTED: Final = "interrupted"
"""`error.type` of what a dead process left open."""
ERROR_CANCELLED: Final = "cancelled"
"""`error.type` of Ctrl-C, a cancelled asyncio task and a person's stop."""
ERROR_TIMEOUT: Final = "timeout"
"""`error.type` of a time limit."""
ERROR_BUDGET_EXCEEDED: Final = "budget_exceeded"
"""`error.type` of a used up budget."""
ERROR_VERIFICATION_FAILED: Final = "verification_failed"
"""`error.type` of a task whose work did not pass the target's own checks."""
ERROR_INVALID_TASK: Final = "invalid_task"
"""`error.type` of a task that was refused."""
ERROR_OTHER: Final = "_OTHER"
"""`error.type` where nothing better is known."""
ERROR_TYPES: Final = (
    ERROR_INTERRUPTED,
    ERROR_CANCELLED,
    ERROR_TIMEOUT,
    ERROR_BUDGET_EXCEEDED,
    ERROR_VERIFICATION_FAILED,
    ERROR_INVALID_TASK,
    ERROR_OTHER,
)
"""Our own words of `error.type`; beside them stand exception classes, HTTP statuses and exit codes."""

CLOSED_SETS: Final = {
    "gen_ai.operation.name": OPERATIONS,
    "gen_ai.token.modality": TOKEN_MODALITIES,
    "gen_ai.tool.type": TOOL_TYPES,
    "taskscope.budget.scope": BUDGET_SCOPES,
    "taskscope.cache.result": CACHE_RESULTS,
    "taskscope.component": COMPONENTS,
    "taskscope.cost.status": COST_STATUSES,
    "taskscope.cost.unknown_reason": COST_UNKNOWN_REASONS,
    "taskscope.drop.reason": DROP_REASONS,
    "taskscope.health.group": HEALTH_GROUPS,
    "taskscope.health.previous_status": HEALTH_STATUSES,
    "taskscope.health.status": HEALTH_STATUSES,
    "taskscope.llm.mode": LLM_MODES,
    "taskscope.llm.origin": LLM_ORIGINS,
    "taskscope.llm.stream_outcome": STREAM_OUTCOMES,
    "taskscope.plan.reason": PLAN_REASONS,
    "taskscope.plan.source": PLAN_SOURCES,
    "taskscope.quarantine.reason": QUARANTINE_REASONS,
    "taskscope.retrieval.fusion_method": FUSION_METHODS,
    "taskscope.retrieval.mode": RETRIEVAL_MODES,
    "taskscope.retrieval.stage": RETRIEVAL_STAGES,
    "taskscope.signal": SIGNALS,
    "taskscope.skill.outcome": SKILL_OUTCOMES,
    "taskscope.skill.selection": SKILL_SELECTIONS,
    "taskscope.step.outcome": STEP_OUTCOMES,
    "taskscope.task.outcome": TASK_OUTCOMES,
    "taskscope.task.phase": TASK_PHASES,
    "taskscope.task.source": TASK_SOURCES,
    "taskscope.task.verification": VERIFICATIONS,
}
"""Attribute key to all values that it may have."""
