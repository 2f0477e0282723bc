"""Instances of the real programs for the proofs; `make stack` must have built them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from stack.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
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
