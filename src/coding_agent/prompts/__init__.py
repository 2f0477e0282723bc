"""What models are told, one file a text; the code only fills in the blanks.

A changed prompt makes recordings of the old one unreplayable, on purpose.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).parent


@cache
def load_prompt(name: str) -> Template:
    """Return the text of `{name}.md`, with its `$blanks`; what is filled in is not read for blanks again."""
    return Template((_FOLDER / f"{name}.md").read_text("utf-8").strip())
