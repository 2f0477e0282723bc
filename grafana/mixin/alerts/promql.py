"""PromQL from declarations: selectors, durations, and how events are counted exactly.

`increase()` extrapolates: one failure may be seen as 0, 1.1 or 1.5. Thresholds on small whole numbers need
the number itself, which is the last value minus the last one before the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskscope.semconv.metrics import RECORDER_FILE_SIZE, Metric, prometheus_label

if TYPE_CHECKING:
    from grafana.mixin.config import Windows

HOST: Final = ("job", "instance")
"""Who says so. Prometheus' OTLP receiver makes `job` of namespace/service.name and `instance` of
service.instance.id (a host's store); for metrics that the gateway derives, `instance` is the gateway."""
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def duration(seconds: float) -> str:
    """The longest unit that says it exactly: `15m`, `90s`, `500ms`."""
    milliseconds = round(seconds * 1000)
    if not milliseconds:
        return "0s"
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def select(metric: Metric, *matchers: str, part: str = "") -> str:
    """A selector of a metric's series; `part` is `count` or `bucket` of a histogram."""
    name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name


def match(key: str, *values: str) -> str:
    """A matcher of an attribute by its key: one of these values."""
    if len(values) == 1:
        return f'{prometheus_label(key)}="{values[0]}"'
    return f'{prometheus_label(key)}=~"{"|".join(values)}"'


def differ(key: str, value: str) -> str:
    """A matcher of an attribute by its key: not this value; `""` is that it has any."""
    return f'{prometheus_label(key)}!="{value}"'


def labels(*keys: str) -> tuple[str, ...]:
    """The labels of a host and those of attributes, for `by`."""
    return (*HOST, *map(prometheus_label, keys))


def total(expr: str, by: tuple[str, ...], operator: str = "sum") -> str:
    """An aggregation by labels."""
    return f"{operator} by ({', '.join(by)}) (\n  {indent(expr)}\n)"


def indent(expr: str) -> str:
    """All lines but the first moved to the right, for one that stands inside another."""
    return expr.replace("\n", "\n  ")


def count_recent(selector: str, window_s: float, windows: Windows) -> str:
    """How much a counter grew within a window, exactly, for each series.

    A series seen before the window: what came on top. A new series of a host that was seen before: all of it,
    since a counter begins with its first event, and its start time (the store's) is too old to be a sample. A
    new host: what came after its first sample, which is the zero of its start time when it is really new, and
    not when a store of last week is connected for the first time. Of a counter that began anew: what it has.
    """
    window, memory = duration(window_s), duration(windows.memory_s)
    known = select(RECORDER_FILE_SIZE)
    now = f"last_over_time({selector}[{window}])"
    return (
        f"{now} - last_over_time({selector}[{memory}] offset {window}) >= 0\n"
        f"or\n"
        f"{now} and on (job, instance) last_over_time({known}[{memory}] offset {window})\n"
        f"or\n"
        f"{now} - min_over_time({selector}[{window}])"
    )


def count_recent_scraped(selector: str, window_s: float, windows: Windows) -> str:
    """The same for a counter of a scraped program, which shows it from the first event on: absent was 0."""
    window, memory = duration(window_s), duration(windows.memory_s)
    now = f"last_over_time({selector}[{window}])"
    return f"{now} - last_over_time({selector}[{memory}] offset {window}) >= 0\nor\n{now}"
