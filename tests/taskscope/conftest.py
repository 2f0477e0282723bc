"""What tests of the observer share: the public recorder of spans."""

from __future__ import annotations

from taskscope.testing import span_recorder

__all__ = ["span_recorder"]
