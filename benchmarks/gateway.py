"""The Collector's gateway: how much it takes, what each processor costs, how soon a span can be found.

Everything runs on one machine: the sender, the gateway and Tempo share its cores. What a processor costs is
told in CPU time of the gateway, beside one that lacks it; there a sink in the gateway stands for Tempo.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from stack.instance import Instance
from stack.programs import find_collector_configs
from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as words

from .measurement import LoadError, ratios, spread_of, take_turns
from .memory import peak_bytes
from .results import Goal, Row, tell_spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .scene import Scene

TITLE = "The gateway"
SMALL, LARGE = 500, 5000
"""Bytes of a span as it is sent."""
_BATCH = 500
_SENDERS = 4
_PATIENCE = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
_DELAY_GOAL = Goal(3.0)
_PERCENT = 95
_SINKS: Final = {name: {"verbosity": "basic"} for name in ("debug", "debug/uncounted")}
_WORDS: Final = ("the", "total", "of", "a", "cart", "is", "wrong", "by", "one")


def measure(scene: Scene) -> list[Row]:
    """Send real spans to real gateways."""
    return [*_measure_throughput(scene), *_measure_processors(scene), _measure_delay(scene)]


def _measure_throughput(scene: Scene) -> list[Row]:
    """Until Tempo has taken all, with all processors on."""
    rows = []
    for size in (SMALL, LARGE):
        number = scene.pick(full=60_000, quick=5_000, tiny=500) * SMALL // size
        with Instance(scene.folder / f"throughput-{size}") as instance:
            instance.folder.mkdir()
            instance.start("tempo", "gateway")
            _deliver(
                instance, "otlp_grpc/tempo", _make_bodies(_BATCH, size)
            )  # the first one opens connections
            rounds = range(scene.pick(full=8, quick=2, tiny=1))
            took = [_deliver(instance, "otlp_grpc/tempo", _make_bodies(number, size)) for _ in rounds]
            rate = spread_of([number / seconds for seconds in took])
            volume = spread_of([number * size / seconds / 1e6 for seconds in took])
            rss = spread_of([peak_bytes(instance.processes["gateway"].pid) / 1e6])
        rows += [
            Row(f"spans of {size / 1000:g} KB, until Tempo has them", rate, "spans/s"),
            Row(f"the same spans of {size / 1000:g} KB", volume, "MB/s", f"peak RSS {tell_spread(rss)} MB"),
        ]
    return rows


def _measure_processors(scene: Scene) -> list[Row]:
    """CPU of the gateway for each span, with all of its parts and with one left out."""
    number = scene.pick(full=10_000, quick=2_000, tiny=500)
    with ExitStack() as stack:
        gateways = {
            name: stack.enter_context(_start_gateway(scene.folder / f"without-{place}", pipelines))
            for place, (name, pipelines) in enumerate({"": {}, **_leave_out()}.items())
        }
        variants = {name: partial(_spend, one, number) for name, one in gateways.items()}
        take_turns(variants, 1)  # what is allocated at first
        costs = take_turns(variants, scene.pick(full=10, quick=3, tiny=1))
    full = costs.pop("")
    row = Row(
        "a span of 0.5 KB, CPU of the gateway", spread_of(full), "us", "no disk and no network behind it"
    )
    return [row, *(_compare(name, less, full) for name, less in costs.items())]


def _compare(name: str, less: Sequence[float], full: Sequence[float]) -> Row:
    return Row(f"without {name}", spread_of(less), "us", "with all", ratios(less, full))


def _leave_out() -> dict[str, dict[str, Any]]:
    """By what is left out: the pipelines that change. One that nothing feeds would be refused."""
    config = yaml.safe_load(find_collector_configs("gateway")[0].read_text())
    first = config["service"]["pipelines"]["traces/in"]
    names = first["processors"]
    less = {
        name: {"traces/in": {"processors": [other for other in names if other != name]}} for name in names
    }
    exporters = [name for name in first["exporters"] if name != "span_metrics"]
    return {
        **less,
        "span_metrics": {
            "traces/in": {"exporters": exporters},
            "metrics/derived": {"receivers": ["signal_to_metrics/foreign"]},
        },
        "the counting of other senders' spans": {
            "traces/foreign": {"processors": [], "exporters": ["debug/uncounted"]},
            "metrics/derived": {"receivers": ["span_metrics"]},
        },
    }


def _start_gateway(folder: Path, pipelines: Mapping[str, Any]) -> Instance:
    """A gateway with other pipelines, which keeps nothing."""
    folder.mkdir()
    overlay = folder / "overlay.yaml"
    changed = {"traces/stored": {"exporters": ["debug"]}, **pipelines}
    overlay.write_text(yaml.safe_dump({"exporters": _SINKS, "service": {"pipelines": changed}}))
    instance = Instance(folder, configs={"gateway": [*find_collector_configs("gateway"), overlay]})
    instance.start("gateway")
    return instance


def _spend(gateway: Instance, number: int) -> float:
    """Microseconds of CPU that a gateway takes for each of so many small spans."""
    bodies = _make_bodies(number, SMALL)
    before = _read_cpu(gateway)
    _deliver(gateway, "debug", bodies)
    return 1e6 * (_read_cpu(gateway) - before) / number


def _measure_delay(scene: Scene) -> Row:
    """From the end of a span until a search finds it, by the laptop's single tier."""
    configs = {"gateway": find_collector_configs("gateway", "laptop")}
    number = scene.pick(full=60, quick=20, tiny=3)
    with Instance(scene.folder / "delay", configs=configs) as instance:
        instance.folder.mkdir()
        instance.start("tempo", "gateway")
        url = instance.url("agent", "otlp_http")
        _find_delays(instance, url, 1)
        delays = sorted(_find_delays(instance, url, number).values())
    late = delays[min(len(delays) * _PERCENT // 100, len(delays) - 1)]
    beside = f"median {tell_spread(spread_of([delays[len(delays) // 2]]))} s; {number} spans"
    what = "from a span's end until it is found, laptop overlay: 95th percentile"
    return Row(what, spread_of([late]), "s", beside, goal=_DELAY_GOAL)


def _find_delays(instance: Instance, url: str, number: int) -> dict[str, float]:
    """Send spans one after the other and search meanwhile; seconds by trace."""
    ended: dict[str, float] = {}
    delays: dict[str, float] = {}
    service = f"delay-{number}"
    deadline = time.time() + _PATIENCE
    while len(delays) < number:
        if time.time() > deadline:
            msg = f"{number - len(delays)} of {number} spans were not found after {_PATIENCE:.0f} s"
            raise LoadError(msg)
        if len(ended) < number:
            request = _make_request(1, SMALL, service)
            trace = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
            ended[trace] = time.time()
            _post(url, [request.SerializeToString()])
        query = urllib.parse.urlencode({"q": f'{{ resource.service.name = "{service}" }}', "limit": "1000"})
        answer = json.loads(_get(f"{instance.url('tempo')}/api/search?{query}"))
        found = [one["traceID"].zfill(32) for one in answer["traces"]]
        now = time.time()
        delays.update(
            {trace: now - ended[trace] for trace in found if trace in ended and trace not in delays}
        )
        time.sleep(0.02)
    return delays


def _deliver(instance: Instance, exporter: str, bodies: Sequence[bytes]) -> float:
    """Send requests of `_BATCH` spans by several connections; seconds until the exporter has sent all on."""
    goal = _read_sent(instance, exporter) + _BATCH * len(bodies)
    url = instance.url("gateway", "otlp_http")
    began = time.perf_counter()
    with ThreadPoolExecutor(_SENDERS) as pool:
        list(pool.map(partial(_post, url), (bodies[place::_SENDERS] for place in range(_SENDERS))))
    while _read_sent(instance, exporter) < goal:
        if time.perf_counter() - began > _PATIENCE:
            msg = f"the gateway did not send on all spans in {_PATIENCE:.0f} s"
            raise LoadError(msg)
        time.sleep(0.01)
    return time.perf_counter() - began


def _post(url: str, bodies: Iterable[bytes]) -> None:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
    for body in bodies:
        status = 0
        while status != http.HTTPStatus.OK:  # refused for want of memory: as a sender does, again
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
            if status not in {http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE}:
                msg = f"the gateway answers {status}"
                raise LoadError(msg)
    connection.close()


def _read_sent(instance: Instance, exporter: str) -> int:
    text = _get(f"{instance.url('gateway', 'metrics')}/metrics").decode()
    pattern = rf'^otelcol_exporter_sent_spans{{[^}}]*exporter="{exporter}"[^}}]*}} (\S+)'
    return int(sum(map(float, re.findall(pattern, text, re.MULTILINE))))


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  our own
        found: bytes = answer.read()
        return found


def _read_cpu(instance: Instance) -> float:
    stat = Path(f"/proc/{instance.processes['gateway'].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS


def _make_bodies(number: int, size: int) -> list[bytes]:
    return [_make_request(_BATCH, size, "bench").SerializeToString() for _ in range(max(number // _BATCH, 1))]


_TEXT = " ".join(random.Random(1).choices(_WORDS, k=2000))


def _make_request(number: int, size: int, service: str) -> ExportTraceServiceRequest:
    """Calls of a model by a foreign sender, which every processor has something to do with."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
    scope = group.scope_spans.add()
    now = time.time_ns()
    for _ in range(number):
        span = scope.spans.add(
            trace_id=os.urandom(16),
            span_id=os.urandom(8),
            name="chat gpt-9",
            start_time_unix_nano=now - 1_000_000_000,
            end_time_unix_nano=now,
            attributes=_ATTRIBUTES,
        )
        room = size - span.ByteSize() - _FRAME
        span.attributes.append(KeyValue(key="input.value", value=AnyValue(string_value=_TEXT[:room])))
    return request


_FRAME = 22
"""Bytes around the text that fills a span up."""
_ATTRIBUTES = [
    *(
        KeyValue(key=key, value=AnyValue(string_value=value))
        for key, value in {
            attr.GEN_AI_OPERATION_NAME: words.CHAT,
            attr.GEN_AI_PROVIDER_NAME: "openai",
            attr.GEN_AI_REQUEST_MODEL: "gpt-9",
            attr.GEN_AI_AGENT_NAME: "crew",
        }.items()
    ),
    KeyValue(key=attr.GEN_AI_USAGE_INPUT_TOKENS, value=AnyValue(int_value=1200)),
    KeyValue(key=attr.GEN_AI_USAGE_OUTPUT_TOKENS, value=AnyValue(int_value=80)),
]
