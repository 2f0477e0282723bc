"""Writes the generated parts of the Collector's configuration: `python -m collector.build [--check]`.

Each part is made by one module from the tables that our own code uses, so that nothing is said twice. Here
stands only which file comes from where; `--check` writes nothing and fails when a file differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from . import derived, dialects, redaction, truncation

FOLDER = Path(__file__).parent / "generated"


class Part(NamedTuple):
    """One generated file."""

    file: str
    build: Callable[[], dict[str, Any]]
    """Makes the configuration that stands in the file."""
    sources: str
    """What a person changes instead of the file."""


PARTS = (
    Part("dialects.yaml", dialects.build, "src/taskscope/store/dialects.py"),
    Part("redaction.yaml", redaction.build, "src/taskscope/redaction/rules.py and names.py"),
    Part("derived.yaml", derived.build, "collector/derived.py and src/taskscope/semconv/metrics.py"),
    Part("truncation.yaml", truncation.build, "collector/truncation.py"),
)


def render(part: Part) -> str:
    """The whole text of a part's file; the same one every time."""
    head = (
        f"# Generated from {part.sources} by `python -m collector.build`.\n"
        "# Do not edit: change the source and generate anew; a test fails on drift.\n"
    )
    return head + yaml.safe_dump(part.build(), sort_keys=False, allow_unicode=True, width=10_000)


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` name those that differ; 1 when there are any."""
    parser = argparse.ArgumentParser(prog="python -m collector.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file differs")
    is_check = parser.parse_args(arguments).check
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for part in PARTS:
        path, text = FOLDER / part.file, render(part)
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(part.file)
            if not is_check:
                path.write_text(text, "utf-8")
    if stale:
        names = ", ".join(stale)
        print(f"differs, run `python -m collector.build`: {names}" if is_check else f"written: {names}")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
