"""The pinned requirements: what they hold, and what they must not name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>\S+)", re.MULTILINE)


def read_pins(name: str) -> set[tuple[str, str]]:
    pins = {(pin["name"], pin["version"]) for pin in PIN.finditer((REQUIREMENTS / name).read_text())}
    assert pins, f"no pin found in {name}"
    return pins


def test_demo_is_a_part_of_dev() -> None:
    """Every pin of demo.txt stands in dev.txt with the same version: `make test` never undoes `make demo`."""
    assert read_pins("demo.txt") - read_pins("dev.txt") == set()


@pytest.mark.parametrize("name", ["demo.txt", "dev.txt"])
def test_pins_name_no_place(name: str) -> None:
    """The pins name no registry and no path of a machine: every line is a pin, a hash or a reason."""
    allowed = re.compile(r"[a-z0-9._-]+==\S+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    # .*")
    lines = (REQUIREMENTS / name).read_text().splitlines()
    assert [line for line in lines if not allowed.fullmatch(line)] == []
    assert [line for line in lines if "://" in line or re.search(r"\s/", line)] == []


def test_opentelemetry_is_one_set() -> None:
    """All OpenTelemetry packages come from one release, stable and beta, since the betas pin each other.

    Those of GenAI, with which the tests hold our spans against upstream's, have releases of their own.
    """
    of_genai = {"opentelemetry-instrumentation-openai-v2", "opentelemetry-util-genai"}
    pins = [(name, version) for name, version in read_pins("dev.txt") if name not in of_genai]
    versions = {version for name, version in pins if name.startswith("opentelemetry-")}
    assert versions == {"1.45.2", "0.66b2"}
