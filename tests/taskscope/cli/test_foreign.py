"""What other senders said, handed in to a real service and shown by the real commands, commands nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from taskscope.cli import main
from taskscope.semconv import attributes as attr
from tests.taskscope.service.otlp.requests import (
    START,
    TRACE,
    logs,
    make_agent,
    make_log,
    make_metric,
    make_span,
    metrics,
    pack,
    pairs,
    traces,
)
from tests.taskscope.service.services import Service, environment, running_service

from .test_terminal import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKUP = {
    "rich markup": "[bold red]owned[/bold red]",
    "rich link": "[link=https://example.invalid]owned[/link]",
    "HTML": "<script>owned()</script><img src=x onerror=owned()>",
    "Markdown": "[owned](javascript:owned())",
    "format": "{owned} %s %(owned)s $owned `owned`",
}
# Half of a surrogate pair cannot be sent in protobuf; the tests of JSON have it.
TEXTS = [text for text in (*HOSTILE.values(), *MARKUP.values()) if text != "\ud800"]
KEYS = (
    attr.GEN_AI_AGENT_NAME, attr.ERROR_TYPE, attr.TASK_KIND, attr.TASK_OUTCOME, attr.TASK_ID,
    attr.SKILL_OUTCOME, attr.HEALTH_STATUS, attr.COST_UNKNOWN_REASON, attr.GEN_AI_REQUEST_MODEL,
    attr.GEN_AI_WORKFLOW_NAME,
)  # fmt: skip
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def make_spans() -> Iterator[Span]:
    """An agent that fails, and below it spans with each text in each place where a span has one."""
    yield make_agent(1, TEXTS[0], status=2, message=TEXTS[0], attributes={attr.ERROR_TYPE: TEXTS[0]})
    for number, text in enumerate(TEXTS, 2):
        facts = {text: text, "list": [text, {text: text}], **dict.fromkeys(KEYS, text)}
        yield make_span(
            number, text, facts, parent=1, status=2, message=text, trace_state=text,
            events=[Span.Event(name=text, attributes=pairs({text: text}))],
        )  # fmt: skip
        for operation in ("execute_tool", "chat", "invoke_agent"):
            called = {"gen_ai.operation.name": operation, **dict.fromkeys(KEYS, text)}
            yield make_span(number + 1000 * len(operation), text, called, parent=number)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own: nothing but such texts is in its record, so that each command shows them."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "work").mkdir()
    with running_service(folder / "home", folder / "work") as running:
        resource = dict(zip(TEXTS, TEXTS, strict=True)) | {"service.name": TEXTS[0]}
        lines = [
            make_log(text, {text: text, attr.TASK_ID: text},
                     trace_id=TRACE, severity_text=text, event_name=name)
            for text in TEXTS
            for name in ("", text)
        ]  # fmt: skip
        points = [{"as_int": 1, "time_unix_nano": START, "attributes": pairs({text: text})} for text in TEXTS]
        numbers = [make_metric(f"n{number}", "gauge", point) for number, point in enumerate(points)]
        for path, request in (
            ("/v1/traces", traces(*make_spans(), resource=resource)),
            ("/v1/logs", logs(*lines, resource=resource)),
            ("/v1/metrics", metrics(*numbers, resource=resource)),
        ):
            answer = running.client.post(path, **pack(request))
            assert (answer.status_code, answer.content) == (200, b"")
        yield running


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints for those who have a service's home; in this process, where it is imported."""

    def run(service: Service, *arguments: str) -> str:
        monkeypatch.setenv("AGENT_HOME", str(service.home))
        monkeypatch.chdir(service.home.parent)
        code = main(arguments)
        out, err = capfd.readouterr()
        assert code in {0, 1}, err
        assert err == ""
        return out

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("history",), ("status",), ("show",), ("show", "--all"), ("show", TRACE.hex()), ("logs",),
        ("watch",), ("history", "--json"), ("show", "--json"), ("logs", "--json"), ("status", "--json"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_sequence_reaches_standard_output(
    hostile: Service, run: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    """All of some sixty texts, in every place where a record has one, through every command that reads."""
    shown = run(hostile, *arguments)
    assert _UNSAFE.findall(shown) == []
    if "--json" in arguments:
        assert shown.isascii()
        json.loads(shown)


def test_markup_is_shown_as_it_was_written(hostile: Service) -> None:
    """A terminal shows its signs; nothing takes them for a color, a link or a place to fill in.

    By a command in a process of its own, as a person would run it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "taskscope", "show", "--all"],
        env=environment(hostile.home, PYTHONIOENCODING="utf-8"),
        cwd=hostile.home.parent,
        capture_output=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr.decode()
    assert done.stderr == b""
    shown = done.stdout.decode()
    assert _UNSAFE.findall(shown) == []
    for text in MARKUP.values():
        assert text in shown


@pytest.mark.parametrize("path", ["", "/spans", "/logs"])
def test_no_sequence_comes_over_http(hostile: Service, path: str) -> None:
    """Answers are JSON in ASCII, which a browser is told not to take for anything else."""
    answer = hostile.ask("GET", f"/tasks/x-{TRACE.hex()}{path}")
    assert answer.status_code == 200
    assert answer.content.isascii()
    assert b"\x7f" not in answer.content
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_sequence_stands_in_a_label(hostile: Service) -> None:
    """The page of metrics has agents and models of others in labels of the contract, and their own."""
    assert _UNSAFE.findall(hostile.client.get("/metrics").text) == []


def test_an_agent_of_another_dialect_is_shown_like_ours(service: Service, run: Callable[..., str]) -> None:
    """OpenInference: agent, call and tool have our parts; tokens are in the tree, the sums and `/metrics`."""
    kind, trace_id, model = "openinference.span.kind", b"\xd1" * 16, "of-another-dialect"
    call = {kind: "LLM", "llm.model_name": model, "llm.system": "openai"}
    tokens = {"llm.token_count.prompt": 420, "llm.token_count.completion": 17}
    spans = (
        make_span(1, "coder", {kind: "AGENT", **tokens}, trace_id=trace_id),
        make_span(2, "ChatCompletion", {**call, **tokens}, parent=1, trace_id=trace_id),
        make_span(3, "grep", {kind: "TOOL"}, parent=1, trace_id=trace_id),
    )
    assert service.client.post("/v1/traces", **pack(traces(*spans))).status_code == 200
    shown = run(service, "show", trace_id.hex(), "--all")
    assert "1 LLM call, 420 in, 17 out" in shown
    assert "tools and skills  (1 span)" in shown
    assert "the agent itself  (1 span)" in shown
    assert re.search("ChatCompletion.*420 \\+ 17 tokens", shown)
    counted = service.client.get("/metrics").text.splitlines()
    names = ("gen_ai_client_inference_usage_input_tokens_total{", f'gen_ai_request_model="{model}"')
    total = [line for line in counted if line.startswith(names[0]) and names[1] in line]
    assert [line.rpartition(" ")[2] for line in total] == ["420.0"]
