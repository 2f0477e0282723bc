"""One service for all tests of a file that only ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .services import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .services import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "work").mkdir()
    with running_service(folder / "home", folder / "work") as running:
        yield running
