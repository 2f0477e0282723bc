from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.taskscope.otlp_sink import OtlpSink

from .deliveries import Host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path / "home" / "taskscope.db")
    yield host
    host.session.close()
