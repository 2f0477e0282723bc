"""An agent of somebody's own, observed through Taskscope's Python interface; prints its task."""

import json
import sys

import taskscope


class FlakyError(Exception):
    """The site did not answer at the first try."""


@taskscope.tool("fetch")
def fetch(page: str, attempt: int) -> str:
    """Fetch a page; the first try fails."""
    if attempt == 1:
        raise FlakyError(page)
    return f"{page}: all is very well"


@taskscope.llm("writer-1", provider="local")
def write(text: str) -> str:
    """Let a model in this process write, which counts a word as a token."""
    taskscope.record_usage(input_tokens=len(text.split()), output_tokens=3)
    return f"{text}, so: yes"


def research() -> str:
    """Fetch until it works, then write."""
    for attempt in (1, 2):
        try:
            with taskscope.step("read", attempt=attempt):
                page = fetch("weather", attempt)
        except FlakyError:
            continue
        with taskscope.step("ask"):
            return write(page)
    return ""


taskscope.configure()
with taskscope.task("research") as task, taskscope.agent("researcher"):
    with taskscope.plan("researcher", source="rules") as plan:
        plan.finish(step_count=2)
    report = research()
taskscope.shutdown(timeout=5)
sys.stdout.write(json.dumps({"task_id": task.id, "report": report}) + "\n")
