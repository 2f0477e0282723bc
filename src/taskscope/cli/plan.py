"""`plan`: what the agent finds and would do; nothing is changed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from .overview import tell_findings
from .reading import read_settings
from .shapes import to_json
from .task_file import build_request
from .terminal import clean, open_screen
from .wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskscope.tasks.records import Preview

    from .task_file import Options
    from .terminal import Screen


def print_plan(task: str, options: Options, *, as_json: bool) -> int:
    """Print findings and steps; exit code 1 when something is wrong for which no step is known."""
    settings = read_settings()
    request = build_request(task, options)
    from taskscope.bootstrap import build_runtime

    with contextlib.closing(build_runtime(settings)) as runtime:
        preview = runtime.runner.preview(request)
    screen = open_screen()
    screen.say(*([to_json(shape_preview(preview))] if as_json else _tell(preview, screen)))
    return 1 if preview.untreated else 0


def shape_preview(preview: Preview) -> dict[str, Any]:
    """Return the object of `plan --json`."""
    return {
        "findings": [dict(finding) for finding in preview.findings],
        "steps": [dict(step) for step in preview.steps],
        "untreated": [dict(finding) for finding in preview.untreated],
    }


def _tell(preview: Preview, screen: Screen) -> Iterator[str]:
    if not preview.findings:
        yield "nothing found: it compiles, the linter and the tests are content"
        return
    yield screen.paint.loud(count(len(preview.findings), "finding"))
    yield from (f"  {line}" for line in tell_findings(preview.findings, screen))
    yield screen.paint.loud(f"{count(len(preview.steps), 'step')} would be taken")
    yield from (f"  {number}. {_describe_step(step)}" for number, step in enumerate(preview.steps, 1))
    if preview.untreated:
        words = f"{count(len(preview.untreated), 'finding')} beyond the rules"
        yield screen.paint.odd(words)
        yield from (f"  {line}" for line in tell_findings(preview.untreated, screen))
    yield "nothing was changed"


def _describe_step(step: Mapping[str, Any]) -> str:
    skill = f" (skill {step['skill']})" if step.get("skill") else ""
    return clean(f"{step.get('kind', '')}: {step.get('title', '')}{skill}")
