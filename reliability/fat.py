"""An attribute far beyond any limit, or a span that is, costs nobody but itself."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr
from taskscope.store.wire import SpanBody

from .collector import Collector
from .commands import ENDPOINT, read_account, run_command, ship
from .findings import Finding, all_of, none_of

if TYPE_CHECKING:
    from pathlib import Path

    from .stage import Stage

TITLE = "An attribute of 20 MB among 22 spans"
MUST = "21 of 22 delivered to a sink that takes 4 MB, the 22nd kept with a marker and counted."
_SPANS = 22
_LIMIT_BYTES = 64 * 1024
_SINK_LIMIT_BYTES = 4_000_000
_STOUT_ATTRIBUTES = 100
_REFUSED = 1
"""Exit code of `ship --once` when a destination did not take a record."""


def prove(stage: Stage) -> list[Finding]:
    """One fat attribute, cut at the limit, so that all arrive; then a span of many, which does not."""
    return [*_prove_fat(stage), *_prove_stout(stage)]


def _prove_fat(stage: Stage) -> list[Finding]:
    """Store them, then send them; what is cut says so and how large it was."""
    megabytes = stage.count(20, 2)
    home = stage.folder / "fat"
    with Collector(stage.folder / "fat-collector", limit_bytes=_SINK_LIMIT_BYTES) as collector:
        answer = stage.ask("fat", _SPANS, megabytes, home=home, expected=0, **{ENDPOINT: collector.url})
        code = ship(stage, home, collector.url)
        arrived = collector.read()
    fat = [span for span in arrived.spans.values() if span.name == "fat"]
    return [
        all_of("spans in the store", answer["stored"], _SPANS),
        Finding("bytes kept of the fat attribute", answer["kept_bytes"], most=_LIMIT_BYTES, least=1),
        all_of("its kept part is its beginning", int(answer["is_beginning"]), 1),
        all_of("it is marked as cut", int(answer["is_marked"]), 1),
        all_of("bytes that it says it had", answer["told_size"], megabytes * 1_000_000),
        all_of("spans that arrived", len(arrived.spans), _SPANS),
        all_of("it arrived with its mark", sum(map(_is_marked, fat)), 1),
        none_of("spans that came twice", arrived.twice, _SPANS),
        none_of("exit code of `ship --once`", code, 1),
    ]


def _is_marked(span: Any) -> bool:
    marks = [one.value.array_value.values for one in span.attributes if one.key == attr.CONTENT_TRUNCATED]
    return [[one.string_value for one in values] for values in marks] == [["app.text"]]


def _prove_stout(stage: Stage) -> list[Finding]:
    """No attribute is too large, but all of them are more than the sink takes."""
    home = stage.folder / "stout"
    with Collector(stage.folder / "stout-collector", limit_bytes=_SINK_LIMIT_BYTES) as collector:
        stage.ask("stout", _SPANS, _STOUT_ATTRIBUTES, home=home)
        code = ship(stage, home, collector.url)
        arrived = collector.read()
    account = read_account(stage, home)
    _, out = run_command(stage, home, "records", "--quarantined", "--json")
    kept = [one for one in json.loads(out) if one["name"] == "stout" and one["reason"] == "too_large"]
    words = f"a span of {_STOUT_ATTRIBUTES} attributes of 64 KB"
    return [
        all_of(f"{words}: other spans that arrived", len(arrived.spans), _SPANS - 1),
        none_of(f"{words}: spans that came twice", arrived.twice, _SPANS),
        all_of(f"{words}: in quarantine, by `records --quarantined`", len(kept), 1),
        all_of(f"{words}: counted there by `records`", account["quarantined"], 1),
        all_of(f"{words}: delivered, by `records`", account["delivered"], _SPANS - 1),
        all_of(f"{words}: emitted, by `records`", account["emitted"], _SPANS),
        all_of(f"{words}: kept whole, with the mark", _count_marked(home / "taskscope.db"), 1),
        all_of(f"{words}: exit code of `ship --once`, which says so", code, _REFUSED),
    ]


def _count_marked(store: Path) -> int:
    """Spans with all their attributes that say why they are in quarantine."""
    with closing(sqlite3.connect(store)) as connection:
        bodies = [SpanBody(body) for (body,) in connection.execute("SELECT body FROM span")]
    return sum(
        body.attributes.get(attr.QUARANTINE_REASON) == "too_large"
        and sum(name.startswith("app.text.") for name in body.attributes) == _STOUT_ATTRIBUTES
        for body in bodies
    )
