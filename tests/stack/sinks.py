"""Sinks in the places of Tempo, Loki and Prometheus: they keep whatever came, however often it came.

The real ones merge what comes twice, so that they cannot tell how often that was.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from concurrent import futures
from typing import TYPE_CHECKING, Any, Self

import grpc  # type: ignore[import-untyped]  # its stubs are another package
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.taskscope.otlp_sink import OtlpSink, records_of

from .senders import PROOF_ID, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stack.instance import Instance

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LARGEST = 64 << 20


class TraceSink(grpc.GenericRpcHandler):  # type: ignore[misc]
    """OTLP traces by gRPC, as Tempo takes them."""

    def __init__(self, port: int) -> None:
        self.requests: list[Any] = []
        self.spans: list[Any] = []
        self._lock = threading.Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4),
            handlers=(self,),
            options=[("grpc.max_receive_message_length", _LARGEST), ("grpc.so_reuseport", 0)],
        )
        assert self._server.add_insecure_port(f"127.0.0.1:{port}") == port
        self._server.start()

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method != _EXPORT:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._take,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )

    def _take(self, request: Any, _context: Any) -> Any:
        with self._lock:
            self.requests.append(request)
            self.spans.extend(records_of(request))
        return ExportTraceServiceResponse()

    def close(self) -> None:
        self._server.stop(0).wait()


class Sinks:
    """The three backends of an instance, up until they are taken down; what came stays known."""

    def __init__(self, instance: Instance) -> None:
        self._ports = {
            "traces": instance.ports["tempo"]["otlp_grpc"],
            "logs": instance.ports["loki"]["http"],
            "metrics": instance.ports["prometheus"]["http"],
        }
        self._lives = contextlib.ExitStack()
        self._traces: list[TraceSink] = []
        self._others: list[OtlpSink] = []

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_error: object) -> None:
        self.down()

    def up(self) -> None:
        """Listen, with nothing forgotten."""
        self._traces.append(TraceSink(self._ports["traces"]))
        self._lives.callback(self._traces[-1].close)
        for signal in ("logs", "metrics"):
            self._others.append(self._lives.enter_context(OtlpSink(port=self._ports[signal])))

    def down(self) -> None:
        """Listen no more; connections are refused."""
        self._lives.close()

    @property
    def spans(self) -> list[Any]:
        """Each span as often as it came."""
        return [span for sink in self._traces for span in list(sink.spans)]

    @property
    def logs(self) -> list[Any]:
        return [log for sink in self._others for log in sink.logs]

    @property
    def metrics(self) -> list[Any]:
        return [metric for sink in self._others for metric in sink.metrics]

    @property
    def messages(self) -> list[Any]:
        """Each request of all signals, with its resources and scopes."""
        traces = [request for sink in self._traces for request in list(sink.requests)]
        return traces + [one.message for sink in self._others for one in list(sink.arrived)]

    def count(self) -> dict[str, collections.Counter[str]]:
        """How often each id came, by signal."""
        points = (point for metric in self.metrics for point in metric.sum.data_points)
        ids: Mapping[str, Iterator[str]] = {
            "traces": (span.span_id.hex() for span in self.spans),
            "logs": (_proof_id(log) for log in self.logs),
            "metrics": (_proof_id(point) for point in points),
        }
        return {signal: collections.Counter(filter(None, ids[signal])) for signal in SIGNALS}

    def wait_for(self, sent: Mapping[str, set[str]], patience: float = 60.0) -> dict[str, set[str]]:
        """Wait until all that was sent is here; what is missing at the end of the patience, by signal."""
        deadline = time.monotonic() + patience
        while True:
            came = self.count()
            missing = {signal: sent[signal] - set(came[signal]) for signal in SIGNALS}
            if not any(missing.values()) or time.monotonic() > deadline:
                return missing
            time.sleep(0.1)

    def count_twice(self) -> dict[str, int]:
        """How many records came more than once, by signal."""
        return {signal: sum(times > 1 for times in came.values()) for signal, came in self.count().items()}


def _proof_id(record: Any) -> str:
    return next((pair.value.string_value for pair in record.attributes if pair.key == PROOF_ID), "")
