"""What docs/spans.md says of each span."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "spans.md"
_CELLS: Final = 4
"""Of the table of spans; the page's other tables have fewer."""
_CODE: Final = re.compile("`([^`]+)`")


def read_rows() -> dict[str, set[str]]:
    """First word of a span's name, such as `chat` or `{executable}`, to the attributes in its row."""
    table = (line.strip("|\n").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines())
    rows = ([_CODE.findall(cell) for cell in cells] for cells in table if len(cells) == _CELLS)
    return {named[0].split()[0]: {*at_start, *at_end} for named, _what, at_start, at_end in rows if named}


def read_others() -> set[str]:
    """The attributes that any span may have."""
    part = PAGE.read_text(encoding="utf-8").partition("What else may stand on a span")[2]
    return set(_CODE.findall(part.partition("## Events")[0]))
