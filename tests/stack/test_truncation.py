"""What the gateway cuts of a span, and in which order; what it cuts for Loki is proven on the real Loki."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from collector.truncation import CONTRACT, NAME_LIMIT_BYTES
from taskscope.recorder.cleaning import VALUE_LIMIT_BYTES
from taskscope.recorder.foreign import ATTRIBUTES_LIMIT

from .senders import Sender, Span, encode_spans
from .sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stack.instance import Instance

SECRET: Final = "ghp_" + "a1B2c3D4" * 5
CONTENT: Final = "proof.content"


@pytest.fixture
def store(instance: Instance) -> Iterator[Callable[[Span], Any]]:
    """Hand a span to the gateway and get what would be stored of it."""
    with Sinks(instance) as sinks:
        instance.start("gateway")
        sender = Sender(instance.url("gateway", "otlp_http"))

        def through(span: Span) -> Any:
            sender.deliver("traces", encode_spans([span]))
            wanted = {"traces": {span.span_id.hex()}, "logs": set[str](), "metrics": set[str]()}
            assert not sinks.wait_for(wanted)["traces"]
            return next(one for one in sinks.spans if one.span_id == span.span_id)

        yield through


def read_texts(span: Any) -> Mapping[str, str]:
    return {pair.key: pair.value.string_value for pair in span.attributes}


def test_keys_of_the_contract_stay_when_there_are_too_many(store: Callable[[Span], Any]) -> None:
    """They come last and are kept; of the others so many as there is room for."""
    foreign = {f"foreign.{number}": "value" for number in range(ATTRIBUTES_LIMIT)}
    kept = read_texts(store(Span(attributes={**foreign, **dict.fromkeys(CONTRACT, "other")})))
    assert set(CONTRACT) <= set(kept)
    assert len(kept) == ATTRIBUTES_LIMIT


def test_a_value_is_cut_where_our_own_recorder_cuts_it(store: Callable[[Span], Any]) -> None:
    """One of that size passes whole, a larger one is cut to it, and so is a name to its own limit."""
    whole, more = "a " * (VALUE_LIMIT_BYTES // 2), "b " * VALUE_LIMIT_BYTES
    stored = store(Span("n" * 2 * NAME_LIMIT_BYTES, {"whole": whole, "more": more}))
    assert read_texts(stored) == {"whole": whole, "more": more[:VALUE_LIMIT_BYTES]}
    assert stored.name == "n" * NAME_LIMIT_BYTES


def test_a_secret_at_the_cut_is_taken_out_before_it_is_cut(store: Callable[[Span], Any]) -> None:
    """Half of it has no shape by which it could be known any more."""
    before = "x " * (VALUE_LIMIT_BYTES // 2 - 8)
    text = read_texts(store(Span(attributes={CONTENT: f"{before}{SECRET} and more"})))[CONTENT]
    assert text.startswith(before)
    assert SECRET[:6] not in text
    assert len(text) <= VALUE_LIMIT_BYTES
