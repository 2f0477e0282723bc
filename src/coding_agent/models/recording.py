"""Recordings: provider-shaped requests and responses as JSON lines, written by live models, read by replay.

The format is told in docs/recordings.md. What a recording means on the wire is the adapters' business.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coding_agent.errors import AgentError, describe_choices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ._wire import Body

FORMAT = "model-recording"
VERSION = 1
ORIGINS = ("captured", "synthetic")
"""Captured: a provider really answered so. Synthetic: a person or a program wrote it."""

_SEE = "docs/recordings.md tells the format"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer."""

    line: int
    """Where it stands in the file, from 1."""
    request: Body
    response: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A whole recording; it holds at least one exchange."""

    path: Path
    origin: str
    api: str
    provider: str
    exchanges: tuple[Exchange, ...]


def load_recording(path: Path, apis: Sequence[str]) -> Recording:
    """Return the recording of a file; AgentError names the line that is wrong and why."""
    lines = _read_lines(path)
    number, header = next(lines, (1, {}))
    _check_header(path, number, header, apis)
    exchanges = tuple(_read_exchange(path, number, line) for number, line in lines)
    if not exchanges:
        raise _wrong(path, number, "no exchange follows the header")
    origin = str(header["origin"])
    if origin == "synthetic":
        _refuse_usage(path, exchanges)
    api = str(header["api"])
    provider = str(header.get("provider") or api.partition(".")[0])
    return Recording(path=path, origin=origin, api=api, provider=provider, exchanges=exchanges)


def _read_lines(path: Path) -> Iterator[tuple[int, Body]]:
    """Return the lines that are not blank, each a JSON object, with their numbers."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        msg = f"cannot read the recording {str(path)!r}: {reason}"
        raise AgentError(msg, hint=_SEE) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _read_line(path, number, line)


def _read_line(path: Path, number: int, line: str) -> Body:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise _wrong(path, number, f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise _wrong(path, number, "it is no JSON object")
    return value


def _check_header(path: Path, number: int, header: Body, apis: Sequence[str]) -> None:
    allowed: Mapping[str, Sequence[object]] = {
        "format": [FORMAT],
        "version": [VERSION],
        "origin": ORIGINS,
        "api": apis,
    }
    for key, values in allowed.items():
        value = header.get(key)
        if value not in values or isinstance(value, bool):
            expected = describe_choices([str(choice) for choice in values])
            raise _wrong(path, number, f"the header has {key} {value!r}, expected {expected}")


def _read_exchange(path: Path, number: int, line: Body) -> Exchange:
    request, response = line.get("request"), line.get("response")
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise _wrong(path, number, "it needs the objects 'request' and 'response'")
    if not isinstance(request.get("model"), str):
        raise _wrong(path, number, "the request names no model")
    return Exchange(line=number, request=request, response=response)


def _refuse_usage(path: Path, exchanges: Sequence[Exchange]) -> None:
    for exchange in exchanges:
        if exchange.response.get("usage") is not None:
            reason = "a synthetic recording carries no usage: no provider has counted these tokens"
            raise _wrong(path, exchange.line, reason)


def _wrong(path: Path, number: int, reason: str) -> AgentError:
    return AgentError(f"recording {str(path)!r}, line {number}: {reason}", hint=_SEE)


class Recorder:
    """Writes what a live model is asked and answers; each exchange is on disk before its reply is used.

    Only bodies are written: no header, no URL, and a secret that a body repeats is blanked.
    """

    def __init__(self, path: Path, *, api: str, provider: str, secrets: Sequence[str] = ()) -> None:
        self._path = path
        self._secrets = [json.dumps(secret, ensure_ascii=False)[1:-1] for secret in secrets if secret]
        self._header: Body | None = {
            "format": FORMAT,
            "version": VERSION,
            "origin": "captured",
            "api": api,
            "provider": provider,
        }
        if path.exists():
            raise self._taken()
        if not os.access(path.parent, os.W_OK):
            raise self._unwritable("its folder is missing or not writable")

    def keep(self, request: Body, response: Body) -> None:
        """Append one exchange; the first one makes the file."""
        exchange = {"request": request, "response": response}
        if self._header is None:
            self._write([exchange], os.O_APPEND)
        else:
            self._write([self._header, exchange], os.O_CREAT | os.O_EXCL)
            self._header = None

    def _write(self, lines: Sequence[Body], mode: int) -> None:
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        for secret in self._secrets:
            text = text.replace(secret, "[redacted:api_key]")
        try:
            # A prompt may hold private code, so that only its owner may read it.
            handle = os.open(self._path, os.O_WRONLY | mode, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error

    def _taken(self) -> AgentError:
        return AgentError(
            f"the recording {str(self._path)!r} exists already, and is not overwritten",
            hint="name another file, or move this one away",
        )

    def _unwritable(self, reason: str) -> AgentError:
        return AgentError(f"cannot write the recording {str(self._path)!r}: {reason}")
