"""Random spans with hostile values: encoded by hand and by upstream's encoder, stored, and found again.

    python -m reliability.loads.encoding COUNT SEED

What is clean must take the very bytes of upstream's encoder; what is not must be stored nevertheless, since
upstream loses it or the whole batch with it.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from benchmarks.loads._answer import answer
from taskscope.recorder.cleaning import Cleaner
from taskscope.recorder.encoding import Encoder
from taskscope.redaction import Redactor
from taskscope.store.accounts import Accounts
from taskscope.store.decoding import decode_span
from taskscope.store.records import Source
from taskscope.store.session import StoreSession

from .counting import count_all

_BATCH = 1000
_NO_SOURCE = Source(b"", b"")
_HOSTILE_SHARE = 0.3


class _Unspeakable:
    def __str__(self) -> str:
        raise ValueError(self.__class__)

    __repr__ = __str__


def _make_cyclic() -> list[Any]:
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    return cyclic


def _make_deep() -> Any:
    deep: Any = "bottom"
    for _ in range(200):
        deep = [deep]
    return deep


_HOSTILE: tuple[Any, ...] = (
    "lone \ud800 surrogate", 2**200, -(2**63) - 1, float("nan"), float("inf"), _Unspeakable(), _make_cyclic(),
    _make_deep(), object(), {1, 2}, {"k": _Unspeakable()}, b"\xff" * 10, "x" * 70_000, [None, "\udfff"],
    memoryview(b"abc"), 1j, _Unspeakable, type, lambda: None,
)  # fmt: skip
_TEXTS = ("", "plain", "src/shop/orders.py", "é€😀", "a longer text, as agents write them " * 4)


def main() -> None:
    """Answer how many spans were made, equal, and stored."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    chance = random.Random(seed)
    encoder = Encoder(Cleaner(Redactor()))
    session = StoreSession(Path(os.environ["TASKSCOPE_HOME"]) / "taskscope.db")
    counts: Counter[str] = Counter()
    batch = []
    for _ in range(count):
        is_hostile = chance.random() < _HOSTILE_SHARE
        span = _make_span(chance, is_hostile=is_hostile)
        try:
            body = encoder.span(span, is_end=True)
            batch.append(decode_span(body, _NO_SOURCE))
        except Exception:  # noqa: BLE001  whatever it is, the span is lost
            counts["lost"] += 1
            continue
        if is_hostile:
            counts["hostile"] += 1
        else:
            counts["clean"] += 1
            counts["unequal"] += body != _encode_upstream(span)
        if len(batch) >= _BATCH:
            session.write(batch, Accounts())
            batch.clear()
    session.write(batch, Accounts())
    session.close()
    stored = count_all(session.path)[0]
    answer(stored=stored, **{name: counts[name] for name in ("clean", "hostile", "unequal", "lost")})


def _encode_upstream(span: ReadableSpan) -> bytes:
    encoded: bytes = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    return encoded


def _make_span(chance: random.Random, *, is_hostile: bool) -> ReadableSpan:
    start = chance.randrange(1, 1 << 62)
    attributes = _make_attributes(chance)
    if is_hostile:
        for _ in range(chance.randint(1, 3)):
            attributes[f"bad.{chance.randrange(9)}"] = chance.choice(_HOSTILE)
    parent = _make_context(chance) if chance.random() < 0.7 else None  # noqa: PLR2004  most have one
    span = ReadableSpan(
        name=chance.choice(_HOSTILE[:1] if is_hostile else _TEXTS),
        context=_make_context(chance),
        parent=parent,
        resource=Resource({"service.name": "encoding"}),
        attributes={},
        events=[Event("happened", _make_attributes(chance), start + 1) for _ in range(chance.randint(0, 2))],
        links=[Link(_make_context(chance), _make_attributes(chance)) for _ in range(chance.randint(0, 2))],
        kind=chance.choice(list(SpanKind)),
        status=chance.choice(
            [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, chance.choice(_TEXTS))]
        ),
        start_time=start,
        end_time=start + chance.randrange(1 << 40),
        instrumentation_scope=InstrumentationScope("scope", "1"),
    )
    span._attributes = attributes  # noqa: SLF001  upstream's own cleaning would take the hostile ones away
    return span


def _make_context(chance: random.Random) -> SpanContext:
    return SpanContext(
        chance.getrandbits(128) or 1,
        chance.getrandbits(64) or 1,
        is_remote=chance.random() < 0.5,  # noqa: PLR2004
        trace_flags=TraceFlags(1),
    )


def _make_attributes(chance: random.Random) -> dict[str, Any]:
    makers = (
        lambda: chance.choice(_TEXTS),
        lambda: chance.randrange(-(1 << 63), 1 << 63),
        lambda: chance.choice((0, 1, 127, 128, -1)),
        chance.random,
        lambda: chance.random() < 0.5,  # noqa: PLR2004
        lambda: [chance.choice(_TEXTS) for _ in range(chance.randint(0, 3))],
        lambda: [chance.randrange(1 << 40) for _ in range(chance.randint(0, 3))],
    )
    return {f"app.key.{chance.randrange(30)}": chance.choice(makers)() for _ in range(chance.randint(0, 12))}


if __name__ == "__main__":
    main()
