"""Texts of several kinds through the redactor, in a fresh process.

    python -m benchmarks.loads.redaction MEGABYTES

Texts are of 16 kB, but those of `attributes`: short ones, one in two seen before, as spans have them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from taskscope.redaction import Redactor

from ._answer import answer

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCE = Path(__file__).resolve().parents[2] / "src"
_PIECE = 16_384
"""Characters of one text: about what a test run prints."""
_SECRET_EACH = 8
"""One piece in so many has a secret, where there are secrets at all."""
_KNOWN = "correct-horse-battery-staple"


def main() -> None:
    """Answer megabytes per second, by kind of text; for `attributes` microseconds per text."""
    wanted = int(float(sys.argv[1]) * 1e6)
    kinds: dict[str, Callable[[int], list[str]]] = {
        "source": _make_source,
        "output": _make_output,
        "json": _make_json,
        "secrets": _make_secrets,
    }
    speeds = {name: _megabytes_per_second(make(wanted)) for name, make in kinds.items()}
    texts = _make_attributes(wanted)
    answer(**speeds, attributes=1e6 * _seconds(texts) / len(texts))


def _megabytes_per_second(texts: list[str]) -> float:
    return sum(map(len, texts)) / 1e6 / _seconds(texts)


def _seconds(texts: list[str]) -> float:
    redactor = Redactor((_KNOWN,))
    for text in texts[: len(texts) // 8]:  # patterns are compiled when they are first needed
        redactor.text(text)
    redactor = Redactor((_KNOWN,))
    began = time.perf_counter()
    for text in texts:
        redactor.text(text)
    return time.perf_counter() - began


def _make_source(size: int) -> list[str]:
    """Our own source text: code without secrets that speaks of them, the worst honest case."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(_SOURCE.rglob("*.py")))
    return _pieces(text * (size // len(text) + 1), size)


def _make_output(size: int) -> list[str]:
    """What a test suite prints."""
    lines = (
        f"tests/test_orders_{n % 97}.py::test_case_{n} PASSED [{n % 100:3}%] in {n % 7}.{n % 10}s"
        for n in range(size // 50)
    )
    return _pieces("\n".join(lines), size)


def _make_json(size: int) -> list[str]:
    lines = (
        json.dumps(
            {"time": 1_700_000_000 + n, "level": "info", "path": f"src/a_{n}.py", "tokens": n, "ok": True}
        )
        for n in range(size // 60)
    )
    return _pieces("\n".join(lines), size)


def _make_secrets(size: int) -> list[str]:
    """Test output in which every eighth text has a key, a header and a known value. None opens a door."""
    planted = f"\nAPI_KEY=sk-proj-{'a1B2c3D4' * 6}\nAuthorization: Bearer {'Zm9vYmFy' * 4}\n{_KNOWN}\n"
    pieces = _make_output(size)
    return [piece + planted if number % _SECRET_EACH == 0 else piece for number, piece in enumerate(pieces)]


def _make_attributes(size: int) -> list[str]:
    return [f"src/shop/orders_{n}.py" if n % 2 else f"execute_tool read {n % 60}" for n in range(size // 22)]


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, min(size, len(text)), _PIECE)]


if __name__ == "__main__":
    main()
