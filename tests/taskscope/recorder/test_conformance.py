"""The same program on upstream's tracer and on ours: foreign processors cannot tell the difference."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import requests
import uvicorn
from fastapi import FastAPI, HTTPException
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from tests.providers.answers import chat_completion, refused
from tests.providers.server import ScriptedProvider
from tests.taskscope.recorder.test_tracer import CountedIds
from tests.taskscope.recorder.tracing import Rig, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

# --- random programs

_LIMITS = {
    "max_span_attributes": 3,
    "max_events": 2,
    "max_links": 2,
    "max_event_attributes": 4,
    "max_link_attributes": 2,
    "max_attribute_length": 4,
    "max_span_attribute_length": 3,
}
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=4)
)
_values = st.recursive(
    _scalars | st.sampled_from([Decimal("1.5"), frozenset({1}), object(), ValueError("x"), SpanKind.CLIENT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)
_keys = st.text("abc", max_size=2) | st.sampled_from([5, None, 0])
_attributes = st.none() | st.dictionaries(_keys, _values, max_size=5)
_times = st.none() | st.integers(0, 1000)
_contexts = st.builds(
    SpanContext,
    st.integers(0, 1),
    st.integers(0, 1),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
    st.sampled_from([TraceState(), TraceState([("vendor", "x")])]),
)
_links = st.lists(st.builds(Link, _contexts, _attributes), max_size=3)
_parents = st.sampled_from(["current", "root"]) | st.integers(0, 9) | _contexts
_statuses = st.sampled_from(StatusCode) | st.builds(Status, st.sampled_from(StatusCode), st.just("why"))
_errors = st.sampled_from([ValueError("x"), KeyError("k"), KeyboardInterrupt("stop"), GeneratorExit()])
_start = (
    st.text(max_size=3),
    _parents,
    st.sampled_from(SpanKind),
    _attributes,
    _links,
    _times,
    st.booleans(),
)
_spans = st.integers(0, 9)
_steps = st.one_of(
    st.tuples(st.just("start"), *_start),
    st.tuples(st.just("enter"), *_start, st.booleans(), st.booleans()),
    st.tuples(st.just("leave"), st.none() | _errors),
    st.tuples(st.just("set_attribute"), _spans, _keys, _values),
    st.tuples(st.just("set_attributes"), _spans, _attributes.map(lambda given: given or {})),
    st.tuples(st.just("add_event"), _spans, st.text(max_size=3), _attributes, _times),
    st.tuples(st.just("add_link"), _spans, _contexts, _attributes),
    st.tuples(st.just("update_name"), _spans, st.text(max_size=3)),
    st.tuples(st.just("set_status"), _spans, _statuses, st.none() | st.just("words")),
    st.tuples(st.just("record_exception"), _spans, _errors, _attributes, _times, st.booleans()),
    st.tuples(st.just("end"), _spans, _times),
)


class Machine:
    """Runs one program on one tracer."""

    def __init__(self, make: str, limits: dict[str, int] | None) -> None:
        self.rig = Rig(make, span_limits=SpanLimits(**limits) if limits else None)
        self.spans: list[trace.Span] = []
        self.blocks: list[Any] = []
        self.has_limits = limits is not None
        self.keys = 0

    def run(self, program: list[Any]) -> list[dict[str, Any]]:
        for name, *arguments in program:
            if name in {"start", "enter", "leave"}:
                getattr(self, name)(*arguments)
            elif self.spans:
                which, *rest = arguments
                if name in {"set_attribute", "set_attributes", "record_exception"}:
                    rest = self.new_keys(name, rest)
                getattr(self.spans[which % len(self.spans)], name)(*rest)
        while self.blocks:
            self.leave(None)
        for span in self.spans:
            span.end()
        return describe(self.rig.spans)

    def new_keys(self, name: str, rest: list[Any]) -> list[Any]:
        """Beyond a limit ours keeps the contract's keys, and a key that is set again is no younger for it."""
        if not self.has_limits:
            return rest
        if name == "record_exception":
            return [rest[0], None, *rest[2:]]
        self.keys += 1
        if name == "set_attributes":
            return [{f"{key}{self.keys}" if key else key: value for key, value in rest[0].items()}]
        return [f"{rest[0]}{self.keys}" if isinstance(rest[0], str) else rest[0], rest[1]]

    def arguments(self, start: tuple[Any, ...]) -> dict[str, Any]:
        name, parent, kind, attributes, links, start_time, flag = start
        context = None
        if parent == "root":
            context = Context()
        elif isinstance(parent, SpanContext):
            context = trace.set_span_in_context(NonRecordingSpan(parent))
        elif isinstance(parent, int) and self.spans:
            context = trace.set_span_in_context(self.spans[parent % len(self.spans)])
        # Upstream changes the links that it is given.
        own_links = [Link(link.context, link.attributes) for link in links]
        return {
            "name": name,
            "context": context,
            "kind": kind,
            "attributes": attributes,
            "links": own_links if flag else own_links or None,
            "start_time": start_time,
            "record_exception": flag,
        }

    def start(self, *start: Any) -> None:
        self.spans.append(self.rig.tracer.start_span(**self.arguments(start)))

    def enter(self, *start: Any) -> None:
        *start, set_status, end_on_exit = start  # type: ignore[assignment]
        block: Any = self.rig.tracer.start_as_current_span(
            **self.arguments(tuple(start)), set_status_on_exception=set_status, end_on_exit=end_on_exit
        )
        self.spans.append(block.__enter__())
        self.blocks.append(block)

    def leave(self, error: BaseException | None) -> None:
        if self.blocks:
            self.blocks.pop().__exit__(type(error) if error else None, error, None)


@pytest.mark.parametrize("limits", [None, _LIMITS], ids=["default limits", "small limits"])
@given(program=st.lists(_steps, max_size=25))
def test_any_program_makes_the_same_spans(limits: dict[str, int] | None, program: list[Any]) -> None:
    """Whatever is called in whatever order, with whatever values: the same spans with the same words."""
    logging.disable()
    try:
        upstream, ours = (Machine(make, limits).run(program) for make in ("upstream", "ours"))
    finally:
        logging.disable(logging.NOTSET)
    assert ours == upstream


# --- instrumentations


@contextmanager
def _serve(app: FastAPI) -> Iterator[str]:
    """A real server on a free port; who connects before it is ready waits in the queue of the socket."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _make_app(rig: Rig) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{number}")
    async def read(number: int) -> dict[str, int]:
        with rig.tracer.start_as_current_span("look up", attributes={"number": number}):
            return {"number": number}

    @app.get("/refused")
    def refuse() -> None:
        raise HTTPException(503, "not now")

    FastAPIInstrumentor.instrument_app(app, tracer_provider=rig.provider)
    return app


def _trace_requests(make: str) -> list[Any]:
    """The tree of one client that asks a server by two libraries, both instrumented by upstream."""
    rig = Rig(make)
    RequestsInstrumentor().instrument(tracer_provider=rig.provider)
    try:
        with _serve(_make_app(rig)) as url, httpx.Client() as client:
            HTTPXClientInstrumentor.instrument_client(client, tracer_provider=rig.provider)
            with rig.tracer.start_as_current_span("client", kind=SpanKind.INTERNAL):
                assert requests.get(f"{url}/items/1", timeout=60).json() == {"number": 1}
                assert client.get(f"{url}/items/2").json() == {"number": 2}
                assert client.get(f"{url}/refused").status_code == 503
                with pytest.raises(requests.ConnectionError):
                    requests.get("http://127.0.0.1:1/", timeout=60)
    finally:
        RequestsInstrumentor().uninstrument()
    return _tree(rig.spans, url)


def _tree(spans: list[ReadableSpan], url: str) -> list[Any]:
    port = url.rpartition(":")[2]

    def words(value: Any) -> Any:
        return str(value).replace(port, "PORT") if "port" not in str(value) else value

    def below(parent: int | None) -> list[Any]:
        children = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
        return [
            (
                span.name,
                span.kind,
                span.status.status_code,
                span.instrumentation_scope.name if span.instrumentation_scope else "",
                {
                    key: words(value)
                    for key, value in sorted((span.attributes or {}).items())
                    if key not in {"net.peer.port", "client.port"}  # the client's own, chosen by the system
                },
                [event.name for event in span.events],
                below(span.context.span_id if span.context else None),
            )
            for span in sorted(children, key=lambda span: span.start_time or 0)
        ]

    return below(None)


def test_upstream_instrumentations_make_the_same_tree() -> None:
    """FastAPI behind uvicorn, requests and httpx: the same spans from end to end, joined by their headers."""
    upstream, ours = _trace_requests("upstream"), _trace_requests("ours")
    assert ours == upstream
    ((name, *_, children),) = ours
    assert (name, [child[0] for child in children]) == ("client", ["GET", "GET", "GET", "GET"])
    assert [child[6][0][0] for child in children[:3]] == [
        "GET /items/{number}",
        "GET /items/{number}",
        "GET /refused",
    ]
    assert "look up" in str(children[0][6][0])


# --- exporters


class Collector(BaseHTTPRequestHandler):
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the standard library's
        pass


def _export(make: str) -> list[bytes]:
    bodies: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Collector,), {"bodies": bodies}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    rig = Rig(make, id_generator=CountedIds())
    url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    rig.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
    remote = SpanContext(
        7, 8, is_remote=True, trace_flags=TraceFlags(3), trace_state=TraceState([("k", "v")])
    )
    outer = rig.tracer.start_span(
        "a", attributes={"list": ["a", "b"], "n": 1}, links=[Link(remote)], start_time=5
    )
    outer.add_event("e", {"k": b"v"}, 6)
    inner = rig.tracer.start_span("b", trace.set_span_in_context(outer), SpanKind.CLIENT, start_time=7)
    inner.set_status(StatusCode.ERROR, "why")
    inner.end(8)
    outer.end(9)
    context = trace.set_span_in_context(NonRecordingSpan(remote))
    rig.tracer.start_span("c", context, start_time=10).end(11)
    assert rig.provider.force_flush()
    rig.provider.shutdown()
    server.shutdown()
    thread.join()
    server.server_close()
    return bodies


def test_the_stock_exporter_sends_the_same_bytes() -> None:
    """Batched and over OTLP, with parents, links, events, status and trace state."""
    upstream, ours = _export("upstream"), _export("ours")
    assert ours == upstream
    assert len(ours) == 1


def _trace_a_model(make: str) -> list[Any]:
    """The tree of a program that asks a model twice, a second time in vain, instrumented by upstream."""
    rig = Rig(make)
    instrumentor = OpenAIInstrumentor()  # type: ignore[no-untyped-call]  # upstream lacks the annotation
    instrumentor.instrument(tracer_provider=rig.provider, meter_provider=NoOpMeterProvider())
    try:
        with ScriptedProvider([chat_completion("hello"), refused(400, "no such model")]) as provider:
            client = openai.OpenAI(api_key="k", base_url=provider.openai_url, max_retries=0)
            with rig.tracer.start_as_current_span("agent"):
                said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
                assert said.choices[0].message.content == "hello"
                with pytest.raises(openai.BadRequestError):
                    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
            client.close()
            url = provider.url
    finally:
        instrumentor.uninstrument()
    return _tree(rig.spans, url)


def test_upstreams_instrumentation_of_a_model_makes_the_same_tree() -> None:
    """OpenTelemetry's own GenAI instrumentation, on the real client against a real server."""
    upstream, ours = _trace_a_model("upstream"), _trace_a_model("ours")
    assert ours == upstream
    ((name, *_, children),) = ours
    assert (name, [child[0] for child in children]) == ("agent", ["chat m", "chat m"])
    assert [child[2] for child in children] == [StatusCode.UNSET, StatusCode.ERROR]
    assert children[0][4]["gen_ai.usage.input_tokens"]
