"""Who this agent is among the processes of the host: a word that everything it starts inherits."""

from __future__ import annotations

import os
import time
from typing import Final

VARIABLE: Final = "CODING_AGENT_OWNER"
"""The environment variable that carries the word."""
_BEGAN_NS: Final = time.time_ns()


def own_word() -> str:
    """Return a word that no other process has, nor one that gets the same number later."""
    return f"{os.getpid()}-{_BEGAN_NS}"
