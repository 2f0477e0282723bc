"""An agent of somebody's own, observed through Taskscope's Python interface; prints its task.

It looks for notes that are not there, fetches again what failed, has an answer break off, and one of its span
processors has a fault.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import taskscope


class FlakyError(Exception):
    """The site did not answer at the first try."""


class FailsOnce(SpanProcessor):
    """A processor of the host's own, with a fault."""

    has_failed = False

    def on_end(self, span: ReadableSpan) -> None:
        """Fail at the first span."""
        if not self.has_failed:
            self.has_failed = True
            raise ZeroDivisionError(span.name)


@taskscope.retrieval("notes")
def remember() -> str:
    """Look for what was noted before."""
    return Path("notes.txt").read_text()


@taskscope.skill("read_page")
@taskscope.tool("fetch")
def fetch(page: str, attempt: int) -> str:
    """Fetch a page; the first try fails."""
    if attempt == 1:
        raise FlakyError(page)
    return f"{page}: all is very well"


@taskscope.llm("writer-1", provider="local")
def write(text: str, attempt: int) -> str:
    """Let a model in this process write, which counts a word as a token; the first answer breaks off."""
    taskscope.record_usage(input_tokens=len(text.split()), output_tokens=3)
    if attempt == 1:
        raise TimeoutError(text)
    return f"{text}, so: yes"


def research() -> str:
    """Fetch until it works, then write until it works."""
    try:
        return remember()
    except FileNotFoundError:
        page = try_twice("read", partial(fetch, "weather"))
        return try_twice("ask", partial(write, page))


def try_twice(name: str, work: Callable[[int], str]) -> str:
    """What a step gives at its first or second attempt."""
    try:
        with taskscope.step(name, attempt=1):
            return work(1)
    except (FlakyError, TimeoutError):
        with taskscope.step(name, attempt=2):
            return work(2)


taskscope.configure()
provider = trace.get_tracer_provider()
assert isinstance(provider, TracerProvider)
provider.add_span_processor(FailsOnce())
with taskscope.task("research") as task, taskscope.agent("researcher"):
    with taskscope.plan("researcher", source="rules") as plan:
        plan.finish(step_count=2)
    report = research()
taskscope.shutdown(timeout=5)
sys.stdout.write(json.dumps({"task_id": task.id, "report": report}) + "\n")
