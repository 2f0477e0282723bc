"""JSON as it is printed; which objects there are stands in `store/shapes.py`, since HTTP shows the same."""

from __future__ import annotations

import json
from typing import Any

from taskscope.store.shapes import shape_cost, shape_log, shape_span, shape_status, shape_task

__all__ = ["shape_cost", "shape_log", "shape_span", "shape_status", "shape_task", "to_json"]


def to_json(value: Any) -> str:
    """Return JSON in ASCII only, so that no recorded text reaches a terminal as a control sequence."""
    if isinstance(value, list):
        rows = ",\n".join(to_json(item) for item in value)
        return f"[\n{rows}\n]" if rows else "[]"
    # Without indent the encoder in C does it: ten times as fast, and it takes deeper trees.
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f")  # the one control character that JSON lets pass
