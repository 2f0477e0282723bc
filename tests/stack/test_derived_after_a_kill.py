"""What a gateway that ends takes with it: counts that nobody has read yet, and no span."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from taskscope.semconv import attributes as attr
from taskscope.semconv.metrics import USAGE_INPUT_TOKENS

from .otlp import find_values, wait_for
from .senders import Sender, Span, encode_spans
from .sinks import Sinks, TraceSink
from .test_derived import CHAT, FOREIGN, read_derived

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.instance import Instance

COUNTER: Final = USAGE_INPUT_TOKENS.prometheus_name
LIVES: Final = 4


def make_calls(number: int, model: str = "m") -> list[Span]:
    """Calls of one input token each, by a sender without Taskscope."""
    call = {**CHAT, attr.GEN_AI_REQUEST_MODEL: model, attr.GEN_AI_USAGE_INPUT_TOKENS: 1}
    return [Span("chat", call) for _ in range(number)]


def read_tokens(instance: Instance) -> float:
    return sum(value for (name, _), value in read_derived(instance).items() if name == COUNTER)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_was_not_read_when_the_gateway_ended_is_not_counted(instance: Instance, end: str) -> None:
    """Every span is stored once; the count lacks those that were taken after it was read last, no others."""
    read, unread, later = make_calls(5), make_calls(7), make_calls(3)
    with Sinks(instance) as sinks:
        instance.start("gateway")
        sender = Sender(instance.url("gateway", "otlp_http"))
        sender.deliver("traces", encode_spans(read, FOREIGN))
        wait_for(lambda: read_tokens(instance), float(len(read)))
        sender.deliver("traces", encode_spans(unread, FOREIGN))
        getattr(instance, end)("gateway")
        instance.start("gateway")
        sender.deliver("traces", encode_spans(later, FOREIGN))
        sent = {span.span_id.hex() for span in (*read, *unread, *later)}
        assert not sinks.wait_for({"traces": sent, "logs": set(), "metrics": set()})["traces"]
        wait_for(lambda: read_tokens(instance), float(len(later)))


def test_prometheus_lacks_at_most_what_came_within_the_last_interval(
    instance: Instance, record_property: Callable[[str, Any], None]
) -> None:
    """Of calls that come steadily, killed again and again: what came before the last scrape but one is there,
    and nothing twice. How much is lacking, and since when, is told with the test's result.
    """
    sent: list[list[float]] = []
    owed, killed = [], []

    def count(model: str) -> float:
        known = f'sum(last_over_time({COUNTER}{{gen_ai_request_model="{model}"}}[1h]))'
        return sum(find_values(instance, known))

    with contextlib.closing(TraceSink(instance.ports["tempo"]["otlp_grpc"])) as sink:
        instance.start("prometheus", "gateway")
        sender = Sender(instance.url("gateway", "otlp_http"))

        def send(model: str) -> float:
            sender.deliver("traces", encode_spans(make_calls(20, model), FOREIGN))
            sent[-1] += [time.monotonic()] * 20
            return count(model)

        for life in range(LIVES):
            model = f"life-{life}"
            sent.append([])
            while (before := send(model)) == 0:
                pass
            owed.append(len(sent[-1]))
            # On until the next scrape, and then somewhere before the one after it.
            while send(model) == before:
                pass
            for _ in range(40 * life):
                send(model)
            instance.kill("gateway")
            killed.append(time.monotonic())
            instance.start("gateway")
        sent.append([])
        send("last")
        wait_for(lambda: count("last"), 20.0)
        wait_for(lambda: len({span.span_id for span in sink.spans}), sum(map(len, sent)))
        kept = [int(count(f"life-{life}")) for life in range(LIVES)]
    taken = [len(calls) for calls in sent[:LIVES]]
    assert all(least <= has <= came for least, has, came in zip(owed, kept, taken, strict=True))
    since = [
        round(end - calls[has], 1)
        for end, calls, has in zip(killed, sent, kept, strict=False)
        if has < len(calls)
    ]
    record_property(
        "calls", {"sent": sum(taken), "lacking": sum(taken) - sum(kept), "since, in seconds": since}
    )
