"""Puts Taskscope together: the one file that knows settings, recorder, instrumentation and runner.

`build_runtime` is for our own commands, `configure` for a host program, which keeps its own logging,
signals and settings.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from taskscope.config import ensure_home, load_host_settings, load_settings, secret_values
from taskscope.errors import StoreError
from taskscope.recorder.setup import install
from taskscope.redaction import Redactor
from taskscope.telemetry.context import get_frame, log_fields, stamp
from taskscope.telemetry.guard import drain_errors, note_error
from taskscope.telemetry.pricing import set_pricer
from taskscope.telemetry.providers import switch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from opentelemetry.sdk.metrics.export import MetricReader  # noqa: TID251  handed on, not used

    from taskscope.config import Settings
    from taskscope.health.checks import Check
    from taskscope.prices import Price, Prices
    from taskscope.recorder.recording import Recording
    from taskscope.shipper.courier import Courier
    from taskscope.shipper.destinations import Destination
    from taskscope.shipper.loop import Shipper
    from taskscope.tasks.runner import TaskRunner
    from taskscope.tasks.spending import Spending
    from taskscope.telemetry.pricing import Pricer

CLOSE_TIMEOUT_S = 2.0

_configured: list[Recording] = []
"""The recording of a host program, once it called `configure`."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What one of our own commands works with; close it at the end."""

    settings: Settings
    redactor: Redactor
    recording: Recording
    runner: TaskRunner

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> bool:
        """Write what is waiting, within the timeout; return whether all of it is in the store."""
        from taskscope.instrumentation.registry import uninstrument

        uninstrument()
        return self.recording.shutdown(timeout)


def build_runtime(
    settings: Settings, *, service: bool = False, metric_readers: Sequence[MetricReader] = ()
) -> Runtime:
    """Return the runtime of a command (or of a service, which logs to stdout too).

    `metric_readers` serve instruments of others, those of the HTTP server say. StoreError when the home
    folder cannot be made; a store that cannot be written is no reason to stop.
    """
    from taskscope.instrumentation.registry import instrument
    from taskscope.prices import Prices
    from taskscope.recorder.logs import configure_logging
    from taskscope.tasks.runner import TaskRunner
    from taskscope.tasks.spending import Spending

    ensure_home(settings)
    for name, value in settings.otel_variables.items():
        os.environ.setdefault(name, value)
    redactor = Redactor((*secret_values(os.environ), *settings.known_secrets))
    recording = _record(settings, redactor, metric_readers)
    configure_logging(
        settings, service=service, redactor=redactor, recording=recording, context_fields=log_fields
    )
    spending = Spending(settings.cost_cap_daily_usd, lambda moment: _spent_since(recording, moment))
    if not settings.disabled:
        instrument("coding_agent", price=_price_and_count(Prices(settings.prices_file).price, spending))
    return Runtime(settings, redactor, recording, TaskRunner(settings, recording, redactor, spending))


def build_checks(runtime: Runtime) -> tuple[Check, ...]:
    """Return the health checks of this host, in the order in which a person reads them."""
    from taskscope.health import checks

    settings, recording, runner = runtime.settings, runtime.recording, runtime.runner
    return (
        checks.StoreCheck(
            path=settings.store_path,
            is_in_memory=lambda: recording.is_in_memory,
            is_disabled=recording.is_disabled,
        ),
        checks.DiskCheck(home=settings.home),
        checks.SettingsCheck(load=lambda: load_settings().warnings),
        checks.ToolCheck(name="git", program="git", required=True),
        checks.ToolCheck(name="pytest", program="pytest"),
        checks.ToolCheck(name="ruff", program="ruff"),
        checks.ProbeCheck(name="index", probe=runner.probe_index),
        checks.ProbeCheck(name="vector:codebase", probe=lambda: runner.probe_vectors("codebase")),
        checks.ProbeCheck(name="vector:skills", probe=lambda: runner.probe_vectors("skills")),
        checks.ProbeCheck(name="embedder", probe=runner.probe_embedder),
    )


def configure(environment: Mapping[str, str] | None = None) -> Recording:
    """Record what this program does from now on; a second call changes nothing.

    Reads `OTEL_*` and `TASKSCOPE_*` only, joins the TracerProvider that is there, installs no signal
    handler and opens no file before the first span. Wrong settings are warned of, and the defaults hold.
    """
    settings = load_host_settings(environment)
    redactor = Redactor((*secret_values(os.environ), *settings.known_secrets))
    recording = _record(settings, redactor)
    switch(off=settings.disabled)
    if not settings.disabled:
        set_pricer(_price_lazily(settings.prices_file))
    _configured[:] = [recording]
    return recording


def _record(settings: Settings, redactor: Redactor, metric_readers: Sequence[MetricReader] = ()) -> Recording:
    """Return the recording, joined with what ships its records, where a destination is set."""
    shipper = build_shipper(settings, redactor)
    recording = install(
        settings,
        redactor,
        metric_readers=metric_readers,
        drain_errors=drain_errors,
        stamp=stamp,
        on_stored=shipper.notify if shipper is not None else _nothing,
    )
    if shipper is not None:
        shipper.count_error = recording.count_error
        recording.on_shutdown(lambda: _finish(recording, shipper))
    return recording


def _nothing() -> None:
    """Do nothing, where nobody ships."""


def _finish(recording: Recording, shipper: Shipper) -> None:
    """Store what is waiting, then send as long as it is taken."""
    began = time.monotonic()
    recording.flush(CLOSE_TIMEOUT_S)
    shipper.finish(began=began)


def build_shipper(settings: Settings, redactor: Redactor) -> Shipper | None:
    """Return what ships this store's records, None without a destination; starts nothing."""
    if settings.disabled or not settings.has_destinations:
        return None
    from taskscope.shipper.destinations import load_destinations
    from taskscope.shipper.loop import Shipper

    destinations, warnings = load_destinations(settings)
    for warning in warnings:
        logging.getLogger("taskscope.shipper").warning("taskscope: %s", warning)
    if not destinations:
        return None
    return Shipper(
        settings.store_path,
        [destination.name for destination in destinations],
        courier_maker(settings, destinations, redactor),
    )


def courier_maker(
    settings: Settings, destinations: Sequence[Destination], redactor: Redactor | None = None
) -> Callable[[str], Courier]:
    """Return what makes the carrier of this store's records to a destination, by name; close those."""
    by_name = {destination.name: destination for destination in destinations}
    known = redactor or Redactor((*secret_values(os.environ), *settings.known_secrets))

    def make(name: str) -> Courier:
        return _make_courier(settings, by_name[name], known)

    return make


def _make_courier(settings: Settings, destination: Destination, redactor: Redactor) -> Courier:
    from taskscope.shipper.courier import Courier
    from taskscope.shipper.metrics import load_interval_s, load_resource
    from taskscope.store.aggregates import points_of
    from taskscope.store.outbox import Outbox

    return Courier(
        destination,
        Outbox(settings.store_path, destination.name),
        redact=lambda text: redactor.text(text)[0],
        metrics_interval_s=load_interval_s(os.environ),
        resource=load_resource(os.environ),
        service_name=settings.chosen_service_name,
        own_points=lambda: points_of(settings),
    )


def flush(timeout: float = CLOSE_TIMEOUT_S) -> bool:
    """Return whether all that was recorded so far is in the store, within `timeout` seconds.

    True where nothing was configured: then nothing is waiting.
    """
    try:
        return all(recording.flush(timeout) for recording in _configured)
    except Exception as error:  # noqa: BLE001  the border to the host
        note_error(error)
        return False


def shutdown(timeout: float = CLOSE_TIMEOUT_S) -> bool:
    """Flush, and record no more; what the flush says. `configure` begins anew."""
    try:
        return all(recording.shutdown(timeout) for recording in _configured)
    except Exception as error:  # noqa: BLE001  the border to the host
        note_error(error)
        return False
    finally:
        _configured.clear()


def _spent_since(recording: Recording, moment: datetime) -> int | None:
    """Return the record's micro-dollars since a moment, what is still on its way included."""
    if recording.is_disabled or not recording.flush(CLOSE_TIMEOUT_S):
        return None
    try:
        with closing(recording.history()) as history:
            return history.cost_since(int(moment.timestamp() * 1e9))[0]
    except StoreError:
        return None


def _price_lazily(prices_file: Path | None) -> Pricer:
    """Return a pricer that reads the price list with the first call of a host's model."""

    @cache
    def load() -> Prices:
        from taskscope.prices import Prices

        return Prices(prices_file)

    def price(*call: Any, operation: str) -> Price:
        return load().price(*call, operation=operation)

    return price


def _price_and_count(pricer: Pricer, spending: Spending) -> Pricer:
    """Return a pricer that counts each live call against its task's budget and the day's cap."""

    def price(*call: Any, operation: str) -> Price:
        found = pricer(*call, operation=operation)
        frame = get_frame()
        spending.add((frame.task_id if frame else None) or "", found)
        return found

    return price
