"""What a person asks first of a task: how it ended, why it failed, where the time went, what it cost."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr

from .breakdown import break_down
from .shapes import shape_cost
from .terminal import clean, shorten
from .wording import (
    OUTCOMES,
    VERIFICATIONS,
    count,
    describe_duration,
    describe_money,
    describe_time,
    describe_wait,
    seconds_between,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from taskscope.store.history import TaskSummary
    from taskscope.store.nodes import SpanNode

    from .breakdown import Share
    from .terminal import Paint, Screen

_FINDINGS_SHOWN = 12
_FINDING_WIDTH = 400
"""Signs shown of one finding: a terminal may wrap it, but what is wrong must not be cut off."""
_NAMES_SHOWN = 4
_LABEL = 10
_SYNTHETIC = "synthetic"
_GOOD = ("succeeded",)
_ODD = ("needs_llm", "needs_review", "stopped")


def tell_task(task: TaskSummary, root: SpanNode, screen: Screen, now_ns: int) -> Iterator[str]:
    """Yield the lines above the tree of `show`."""
    yield from _tell_head(task, screen, now_ns)
    yield from _tell_interruption(task, root, screen)
    yield from tell_reasons(task.error, task.findings, screen)
    yield ""
    yield from _tell_times(break_down(root, now_ns), screen)
    yield label("tokens", screen, _describe_tokens(task, root))
    yield label("cost", screen, _describe_cost(task, root))
    if task.patch_path and task.repository:
        yield label("patch", screen, apply_line(task.repository, task.patch_path))


def _tell_head(task: TaskSummary, screen: Screen, now_ns: int) -> Iterator[str]:
    ended = now_ns if task.ended_ns is None else task.ended_ns
    took = seconds_between(task.started_ns, ended)
    is_running = task.outcome is None
    words = (
        f"running {describe_wait(took)}" if is_running else describe_outcome(task.outcome, task.verification)
    )
    yield f"{screen.paint.loud(clean(task.task_id))}  {paint_outcome(words, task.outcome, screen.paint)}"
    if text := task.text or ("" if task.process_id is not None else task.kind):
        yield label("task", screen, shorten(text.strip(), screen.width - _LABEL))
    if task.repository:
        yield label("in", screen, clean(task.repository))
    time = f"{describe_time(task.started_ns)}" + ("" if is_running else f", took {describe_duration(took)}")
    yield label("started", screen, time + (f", attempt {task.attempt}" if task.attempt > 1 else ""))
    if task.model:
        yield label("model", screen, clean(task.model))
    yield from tell_work(task.summary, screen)


def tell_work(summary: str | None, screen: Screen) -> Iterator[str]:
    """Yield what was done, one line for each thing, cut where the terminal ends."""
    for number, line in enumerate((summary or "").splitlines()):
        yield label("" if number else "did", screen, shorten(line, screen.width - _LABEL))


def _tell_interruption(task: TaskSummary, root: SpanNode, screen: Screen) -> Iterator[str]:
    """Yield what a task was in when its process died."""
    cut = [node for node in root.walk() if node.is_interrupted]
    if task.outcome == "interrupted" and cut:
        last = max(cut, key=lambda node: node.start_ns)
        since = describe_time(last.start_ns)
        yield label("why", screen, screen.paint.bad(f"its process died in {clean(last.name)}, begun {since}"))


def tell_reasons(
    error: Mapping[str, Any] | None, findings: Sequence[Mapping[str, Any]], screen: Screen
) -> Iterator[str]:
    """Yield why a task failed and what is still wrong, nothing where there is neither."""
    if error:
        phase = f" in phase {error['phase']}" if error.get("phase") else ""
        text = f"{error.get('type', '')}{phase}: {error.get('message', '')}"
        yield label("why", screen, screen.paint.bad(clean(text)))
        if error.get("hint"):
            yield label("", screen, clean(str(error["hint"])))
    if findings:
        yield label("findings", screen, str(len(findings)))
        yield from (f"  {line}" for line in tell_findings(findings, screen))


def tell_findings(findings: Sequence[Mapping[str, Any]], screen: Screen) -> Iterator[str]:
    """Yield one line for each finding, and how many there are beyond those shown."""
    for finding in findings[:_FINDINGS_SHOWN]:
        place = ":".join(
            str(finding[key]) for key in ("path", "line", "column") if finding.get(key) is not None
        )
        message = str(finding.get("message", "")).strip().split("\n")[0]
        parts = [str(finding.get("rule", "")), place, message]
        yield shorten("  ".join(part for part in parts if part), _FINDING_WIDTH)
    if len(findings) > _FINDINGS_SHOWN:
        yield screen.paint.quiet(f"and {len(findings) - _FINDINGS_SHOWN} more: `show --json` has them all")


def _tell_times(shares: Sequence[Share], screen: Screen) -> Iterator[str]:
    total = sum(share.seconds for share in shares)
    yield label("time", screen, "by kind of span, each without what ran below it")
    for share in shares:
        percent = f"{100 * share.seconds / total:3.0f} %" if total else "  - %"
        line = f"  {percent}  {describe_duration(share.seconds):>9}  {share.kind}"
        yield line + screen.paint.quiet(_describe_names(share))


def _describe_names(share: Share) -> str:
    if not share.names:
        return f"  ({count(share.spans, 'span')})"
    largest = share.seconds_by_name.most_common(_NAMES_SHOWN)
    names = [
        f"{shorten(name, 40)} {describe_duration(took)} in {share.names[name]}" for name, took in largest
    ]
    more = f", {len(share.names) - len(names)} more" if len(share.names) > len(names) else ""
    return f"  ({', '.join(names)}{more})"


def _describe_tokens(task: TaskSummary, root: SpanNode) -> str:
    if not task.llm_calls:
        return "no LLM calls"
    calls = count(task.llm_calls, "LLM call")
    if task.replayed_calls:
        calls += f" ({task.replayed_calls} replayed from {_describe_recording(root)})"
    if task.input_tokens is None and task.output_tokens is None:
        return f"{calls}, no token counts given"
    shown = [
        f"{'unknown' if n is None else f'{n:,}'} {way}"
        for n, way in ((task.input_tokens, "in"), (task.output_tokens, "out"))
    ]
    return f"{calls}, {', '.join(shown)}"


def _describe_recording(root: SpanNode) -> str:
    is_synthetic = any(node.attributes.get(attr.LLM_ORIGIN) == _SYNTHETIC for node in root.walk())
    return "a synthetic recording: nobody's answer, written by hand" if is_synthetic else "a recording"


def _describe_cost(task: TaskSummary, root: SpanNode) -> str:
    cost = shape_cost(task)
    if cost["status"] == "known":
        return describe_money(cost["micro_usd"])
    if cost["status"] == "unknown":
        known = f"; the others cost {describe_money(task.cost_micro_usd)}" if task.cost_micro_usd else ""
        reasons = _unknown_reasons(root)
        why = f" ({', '.join(reasons)})" if reasons else ""
        return f"unknown: {count(task.unpriced_calls, 'call')} without a price{why}{known}"
    if task.llm_calls > task.replayed_calls:
        return "none: no call left this process"
    if task.replayed_calls:
        return "none: what a recording answers costs nothing now"
    return "none: no LLM calls"


def _unknown_reasons(root: SpanNode) -> list[str]:
    found = (node.attributes.get(attr.COST_UNKNOWN_REASON) for node in root.walk())
    return sorted({clean(str(reason)).replace("_", " ") for reason in found if reason})


def describe_outcome(outcome: str | None, verification: str | None) -> str:
    """Return how a task ended, in words."""
    words = OUTCOMES.get(outcome or "", clean(outcome or "unknown"))
    checks = VERIFICATIONS.get(verification or "")
    return f"{words}, {checks}" if checks and outcome in {"succeeded", "failed"} else words


def paint_outcome(words: str, outcome: str | None, paint: Paint) -> str:
    """Return the words in the color of the outcome."""
    if outcome in _GOOD:
        return paint.good(words)
    return paint.odd(words) if outcome is None or outcome in _ODD else paint.bad(words)


def label(name: str, screen: Screen, text: str) -> str:
    """Return a line with a label in front."""
    return f"{screen.paint.quiet(f'{name:<{_LABEL - 1}}')} {text}"


def apply_line(repository: str | Path, patch: str | Path) -> str:
    """Return the command that applies a patch, quoted for a shell."""
    return clean(shlex.join(["git", "-C", str(repository), "apply", str(patch)]))
