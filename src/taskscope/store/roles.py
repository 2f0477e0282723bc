"""What part a span plays in the contract, read from its attributes; the number is kept with every span.

Never renumber: stores hold these numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans


class Role(IntEnum):
    """The parts that a span can play."""

    OTHER = 0
    TASK = 1
    AGENT = 2
    PLAN = 3
    STEP = 4
    TOOL = 5
    INFERENCE = 6
    COMMAND = 7
    EMBEDDINGS = 8
    RETRIEVAL = 9
    STAGE = 10
    MEMORY = 11
    HEALTH = 12
    SERVER = 13
    DATABASE = 14
    FOREIGN = 15


RECORDED_AT_START = frozenset(
    {Role.TASK, Role.AGENT, Role.PLAN, Role.STEP, Role.TOOL, Role.INFERENCE, Role.COMMAND}
)
"""Roles that are on record before they do anything, so that a kill leaves them as interrupted."""

_KIND_SERVER = 2

BY_OPERATION: Mapping[object, Role] = {
    spans.INVOKE_WORKFLOW: Role.TASK,
    spans.INVOKE_AGENT: Role.AGENT,
    spans.PLAN: Role.PLAN,
    spans.EXECUTE_TOOL: Role.TOOL,
    spans.EMBEDDINGS: Role.EMBEDDINGS,
    spans.RETRIEVAL: Role.RETRIEVAL,
    spans.SEARCH_MEMORY: Role.MEMORY,
    spans.UPSERT_MEMORY: Role.MEMORY,
    spans.CHAT: Role.INFERENCE,
    # What other instrumentations of the same conventions say:
    "generate_content": Role.INFERENCE,
    "text_completion": Role.INFERENCE,
    "create_memory": Role.MEMORY,
    "update_memory": Role.MEMORY,
    "delete_memory": Role.MEMORY,
}
"""Values of `gen_ai.operation.name`; a span with another one plays no part."""

BY_KEY = (
    (attr.STEP_KIND, Role.STEP),
    (attr.HEALTH_CHECK, Role.HEALTH),
    (attr.RETRIEVAL_STAGE, Role.STAGE),
    (attr.PROCESS_EXECUTABLE_NAME, Role.COMMAND),
    (attr.DB_SYSTEM_NAME, Role.DATABASE),
)
"""Attributes that tell the part of a span without an operation, the first one that it has."""
_TELLING = frozenset(key for key, _ in BY_KEY)


def find_role(attributes: Mapping[str, object], kind: int) -> Role:
    """The part of a span with these attributes and OTLP kind."""
    operation = attributes.get(attr.GEN_AI_OPERATION_NAME)
    if isinstance(operation, str):
        return BY_OPERATION.get(operation, Role.OTHER)
    if not _TELLING.isdisjoint(attributes):
        return next(role for key, role in BY_KEY if key in attributes)
    if kind == _KIND_SERVER and attr.HTTP_REQUEST_METHOD in attributes:
        return Role.SERVER
    return Role.OTHER


COUNTED_OF_OTHERS = frozenset(Role) - {Role.OTHER, Role.HEALTH, Role.SERVER, Role.DATABASE, Role.FOREIGN}
"""Roles in which other senders' spans are counted with ours; the rest is their own service."""


def find_foreign_role(attributes: Mapping[str, object], kind: int) -> Role:
    """The part of another sender's span: work of agents is counted with ours, its service and checks are not.

    They would stand for the health, the requests and the database of this host.
    """
    role = find_role(attributes, kind)
    return role if role in COUNTED_OF_OTHERS else Role.FOREIGN
