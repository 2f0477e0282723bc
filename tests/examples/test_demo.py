"""The demo shows what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.taskscope.otlp_sink import OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_demo(tmp_path: Path) -> None:
    """Without a terminal, the demo repairs, meets its limit, survives kill -9, and tells time and cost.

    The killed task then arrives at a plain OTLP backend as `show` has it, span for span.
    """
    folder = tmp_path / "demo"
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--folder", str(folder), "--look-on", "0"]
    # A person's settings must not make it another demo.
    environment = {**os.environ, "AGENT_MODEL": "openai:none", "AGENT_HOME": str(tmp_path / "mine")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third, fourth = done.stdout.split("\n====")[2::2]
    assert "✓ invoke_workflow repair" in first
    assert "succeeded, the repository's own checks pass" in first
    assert "  19 passed in" in first
    assert "needs a language model: beyond the rules" in second
    assert "test_a_coupon_takes_five_euros_off_before_tax" in second
    assert "⚡ execute_tool pytest  interrupted after" in third
    assert "✓ step lint" in third
    assert "no LLM calls" in fourth
    assert not (tmp_path / "mine").exists()
    rows = json.loads(_ask(folder, "history"))
    assert [row["outcome"] for row in rows] == ["interrupted", "needs_llm", "succeeded"]
    with OtlpSink() as sink:
        _run(folder, "ship", "--once", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert [span.name for span in sink.spans].count("invoke_workflow repair") == 3
    tree = json.loads(_ask(folder, "show"))
    assert _build_tree(sink.spans, rows[0]["trace_id"]) == tree
    assert len(list(_walk(tree))) > 40
    interrupted = [span["name"] for span in _walk(tree) if span["status"] == "ERROR"]
    assert interrupted[-4:] == ["invoke_agent coder", "step test", "execute_tool pytest", "python"]


def _ask(folder: Path, command: str) -> str:
    return _run(folder, command, "--json")


def _run(folder: Path, *arguments: str, **more: str) -> str:
    environment = {**os.environ, "AGENT_HOME": str(folder / "home"), **more}
    command = [sys.executable, "-m", "taskscope", *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def _walk(span: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield span
    for child in span["children"]:
        yield from _walk(child)


def _build_tree(arrived: list[Any], trace_id: str) -> dict[str, Any]:
    """The only tree of a trace, out of what a backend has, in the words of `show --json`."""
    own = sorted((one for one in arrived if one.trace_id.hex() == trace_id), key=_get_start)
    shapes = {one.span_id: _shape(one) for one in own}
    assert len(shapes) == len(own)
    (root,) = (one for one in own if not one.parent_span_id)
    for one in own:
        if one is not root:
            shapes[one.parent_span_id]["children"].append(shapes[one.span_id])
    return shapes[root.span_id]


def _get_start(span: Any) -> tuple[int, bytes]:
    return span.start_time_unix_nano, span.span_id


def _shape(span: Any) -> dict[str, Any]:
    start_ns, end_ns = span.start_time_unix_nano, span.end_time_unix_nano
    return {
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "name": span.name,
        "kind": span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "status": span.status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        "attributes": {one.key: _read_value(one.value) for one in span.attributes},
        "started_at": _tell_time(start_ns),
        "ended_at": _tell_time(end_ns),
        "duration_s": (end_ns - start_ns) / 1e9,
        "children": [],
    }


def _read_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_read_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def _tell_time(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).replace(microsecond=time_ns % 10**9 // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
