"""Instances of the real programs for the proofs; `make stack` must have built them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

from stack.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


class MakeInstance(Protocol):
    def __call__(
        self,
        *,
        configs: Mapping[str, Sequence[Path]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Instance: ...


@pytest.fixture
def make_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeInstance]:
    """Make instances on free ports in folders of their own; nothing runs yet, all end with the test."""
    made: list[Instance] = []

    def make(
        *,
        configs: Mapping[str, Sequence[Path]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Instance:
        folder = tmp_path_factory.mktemp("stack")
        made.append(Instance(folder, configs=configs, environment=environment))
        return made[-1]

    yield make
    for instance in made:
        instance.close()


@pytest.fixture
def instance(make_instance: MakeInstance) -> Instance:
    """An instance with the committed configurations."""
    return make_instance()


@pytest.fixture
def mount_small(tmp_path: Path) -> Iterator[Callable[[Path, int], Path]]:
    """Make file systems of so many bytes, of memory; skipped for all but root."""
    mounted: list[Path] = []

    def mount(place: Path, size: int) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
        if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system of its own, to be filled, needs root and the right to mount")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
