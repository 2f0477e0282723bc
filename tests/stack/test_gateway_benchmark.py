"""The benchmark of the gateway runs and counts what it should; how fast it was decides nothing here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import gateway
from benchmarks.scene import Effort, Scene
from tests.benchmarks.test_benchmarks import check_rows

if TYPE_CHECKING:
    from pathlib import Path


def test_the_benchmark_of_the_gateway_yields_finite_numbers(tmp_path: Path) -> None:
    """With counts as small as can be, on the real Collector and Tempo."""
    check_rows("gateway", gateway.measure(Scene(tmp_path, Effort.TINY)))
