"""Taskscope: see what a coding agent did.

This is the public face: it hands names on and defines nothing. A name is imported when it is first used, so
that `import taskscope` sets up nothing, opens nothing and costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskscope.bootstrap import configure, flush, shutdown
    from taskscope.instrumentation.registry import instrument, uninstrument
    from taskscope.telemetry.manual import (
        agent,
        carry,
        current_task,
        llm,
        plan,
        record_usage,
        retrieval,
        skill,
        step,
        task,
        tool,
    )

__all__ = [
    "agent",
    "carry",
    "configure",
    "current_task",
    "flush",
    "instrument",
    "llm",
    "plan",
    "record_usage",
    "retrieval",
    "shutdown",
    "skill",
    "step",
    "task",
    "tool",
    "uninstrument",
]

_HOMES = {
    "configure": "bootstrap",
    "flush": "bootstrap",
    "shutdown": "bootstrap",
    "instrument": "instrumentation.registry",
    "uninstrument": "instrumentation.registry",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        message = f"module 'taskscope' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"taskscope.{_HOMES.get(name, 'telemetry.manual')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
