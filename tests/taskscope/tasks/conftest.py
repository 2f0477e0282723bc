"""Each test here sets up a whole runtime, as a process of its own would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.taskscope.otel_globals import fresh_otel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fresh_otel() -> Iterator[None]:
    with fresh_otel():
        yield
