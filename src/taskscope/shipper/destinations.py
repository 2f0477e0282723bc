"""Where telemetry goes: from `OTEL_EXPORTER_OTLP_*` as the specification has it, and TASKSCOPE_DESTINATIONS.

A wrong value never stops a program: it is told in one sentence that says what to do, its default counts, and
a header's value is never shown. The specification: opentelemetry.io/docs/specs/otel/protocol/exporter.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from taskscope.config import Settings

OTLP: Final = "otlp"
"""The name of the destination that `OTEL_EXPORTER_OTLP_*` describes."""
SIGNALS: Final = ("traces", "logs", "metrics")

_PREFIX = "OTEL_EXPORTER_OTLP_"
_TIMEOUT_MS = 10_000.0
_LONGEST_TIMEOUT_MS = 300_000.0
_SHORTEST_TIMEOUT_MS = 100.0
"""Below that a number was meant in seconds, as OpenTelemetry Python reads it: nobody waits 10 ms."""
_COMPRESSIONS = ("gzip", "none")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OWN_HEADERS = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one signal of a destination goes, and how."""

    url: str = field(repr=False)
    """Whole, without credentials."""
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    timeout_s: float = _TIMEOUT_MS / 1000
    is_compressed: bool = True
    certificate: str | None = None
    """File of the authorities that are trusted; the system's own without one."""
    client_certificate: str | None = None
    client_key: str | None = None
    is_verbatim: bool = False
    """Whether the URL is the person's own to its end, and not a base that `/v1/traces` was added to."""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def shown_url(self) -> str:
        """The URL for messages: without its query, which may hold a key."""
        return urlunsplit(urlsplit(self.url)._replace(query=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A backend, by the name that its cursor has in the store."""

    name: str
    endpoints: Mapping[str, Endpoint]
    """By signal; a signal without one does not go there."""


def load_destinations(
    settings: Settings, environ: Mapping[str, str] | None = None
) -> tuple[tuple[Destination, ...], tuple[str, ...]]:
    """All destinations, and a sentence for each thing that is wrong with what was set."""
    variables = {**settings.otel_variables, **(os.environ if environ is None else environ)}
    return _Loading(settings, variables).load()


class _Loading:
    """One reading of the variables; what is wrong is collected once, in their order."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = {name: text.strip() for name, text in environ.items() if text.strip()}
        self._warnings: dict[str, None] = {}

    def load(self) -> tuple[tuple[Destination, ...], tuple[str, ...]]:
        named = [(OTLP, self._find_urls()), *self._named_urls()]
        found = [Destination(name=name, endpoints=self._make(name, urls)) for name, urls in named]
        return tuple(one for one in found if one.endpoints), tuple(self._warnings)

    def _find_urls(self) -> dict[str, tuple[str, bool]]:
        settings = self._settings
        own = {
            "traces": settings.otlp_traces_endpoint,
            "logs": settings.otlp_logs_endpoint,
            "metrics": settings.otlp_metrics_endpoint,
        }
        urls: dict[str, tuple[str, bool]] = {}
        for signal in SIGNALS:
            if self._is_off(signal):
                continue
            if url := own[signal]:
                urls[signal] = url, True
            elif settings.otlp_endpoint:
                urls[signal] = settings.otlp_endpoint, False
        return {signal: url for signal, url in urls.items() if self._is_spoken(signal)}

    def _named_urls(self) -> Iterator[tuple[str, dict[str, tuple[str, bool]]]]:
        for name, url in self._settings.destinations:
            yield name, {signal: (url, False) for signal in SIGNALS if not self._is_off(signal)}

    def _make(self, name: str, urls: Mapping[str, tuple[str, bool]]) -> dict[str, Endpoint]:
        return {
            signal: self._endpoint(name, signal, url, is_verbatim=is_verbatim)
            for signal, (url, is_verbatim) in urls.items()
        }

    def _endpoint(self, name: str, signal: str, url: str, *, is_verbatim: bool) -> Endpoint:
        parts = urlsplit(url)
        is_own = name == OTLP
        headers = self._headers(signal) if is_own else {}
        if parts.username is not None and "authorization" not in headers:
            headers["authorization"] = basic_credentials(parts)
        return Endpoint(
            url=_complete(parts, "" if is_verbatim else f"/v1/{signal}"),
            headers=headers,
            timeout_s=self._timeout_s(signal),
            is_compressed=self._choose(signal, "COMPRESSION", _COMPRESSIONS) == "gzip",
            # Another backend's authority and keys are no business of these.
            certificate=self._file(signal, "CERTIFICATE") if is_own else None,
            client_certificate=self._file(signal, "CLIENT_CERTIFICATE") if is_own else None,
            client_key=self._file(signal, "CLIENT_KEY") if is_own else None,
            is_verbatim=is_verbatim,
        )

    # --- single variables

    def _find(self, signal: str, what: str) -> tuple[str, str]:
        """Name and text of the variable that counts; the signal's own goes before the general one."""
        for name in (f"{_PREFIX}{signal.upper()}_{what}", f"{_PREFIX}{what}"):
            if name in self._environ:
                return name, self._environ[name]
        return "", ""

    def _warn(self, sentence: str) -> None:
        self._warnings[sentence] = None

    def _is_off(self, signal: str) -> bool:
        return self._environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").lower() == "none"

    def _is_spoken(self, signal: str) -> bool:
        name, protocol = self._find(signal, "PROTOCOL")
        if not protocol or protocol.lower() == "http/protobuf":
            return True
        self._warn(
            f"{name}={protocol!r} is not spoken, so nothing is sent: unset it, and give the endpoint of "
            "OTLP over HTTP with protobuf (port 4318 of a Collector, where 4317 is gRPC)"
        )
        return False

    def _choose(self, signal: str, what: str, allowed: tuple[str, ...]) -> str:
        name, text = self._find(signal, what)
        if text and text.lower() not in allowed:
            self._warn(f"{name}={text!r} is not allowed; expected {' or '.join(allowed)}; {allowed[0]} it is")
        return text.lower() if text.lower() in allowed else allowed[0]

    def _timeout_s(self, signal: str) -> float:
        name, text = self._find(signal, "TIMEOUT")
        if not text:
            return _TIMEOUT_MS / 1000
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not number > 0:  # refuses nan, too
            self._warn(f"{name}={text!r} is not allowed; expected milliseconds above 0; 10000 it is")
            number = _TIMEOUT_MS
        if number < _SHORTEST_TIMEOUT_MS:
            number *= 1000
        return min(number, _LONGEST_TIMEOUT_MS) / 1000

    def _file(self, signal: str, what: str) -> str | None:
        return self._find(signal, what)[1] or None

    def _headers(self, signal: str) -> dict[str, str]:
        name, text = self._find(signal, "HEADERS")
        return parse_headers(text, lambda number, why: self._warn(f"{name}: entry {number} {why}; left out"))


def parse_headers(text: str, complain: Callable[[int, str], object]) -> dict[str, str]:
    """`name=value,...` with percent-encoded values as headers; each wrong entry is named by its number.

    A value that could end its line and begin another header is a wrong one.
    """
    headers: dict[str, str] = {}
    for number, entry in enumerate((part.strip() for part in text.split(",")), 1):
        name, equals, value = (part.strip() for part in entry.partition("="))
        value = unquote(value).strip()
        if not entry:
            continue
        if not equals or not _HEADER_NAME.fullmatch(name):
            complain(number, "is no name=value")
        elif not _HEADER_VALUE.fullmatch(value):
            complain(number, f"({name}) has a value that no header may have")
        elif name.lower() in _OWN_HEADERS:
            complain(number, f"({name}) is what we say ourselves")
        else:
            headers[name.lower()] = value
    return headers


def _complete(parts: SplitResult, path: str) -> str:
    """The URL without credentials and fragment, with a path added to its own."""
    whole = parts.path.rstrip("/") + path if path else parts.path or "/"
    return urlunsplit((parts.scheme.lower(), parts.netloc.rpartition("@")[2], whole, parts.query, ""))


def basic_credentials(url: SplitResult) -> str:
    """User and password of a URL as the value of an authorization header."""
    pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"
