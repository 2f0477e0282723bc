"""Variables in the configurations of programs that expand none: Prometheus and Alertmanager.

The same notation as Loki, Tempo and docker compose read: `${NAME:-default}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .errors import StackError

_VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}")
"""`${NAME}` or `${NAME:-default}`; a default ends at the first brace."""


def render(template: str, environment: Mapping[str, str]) -> str:
    """A template with each variable's value, else its default; StackError where there is neither."""
    return _VARIABLE.sub(lambda found: _value(found, environment), template)


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    name, default = found["name"], found["default"]
    value = environment.get(name) or default
    if value is None:
        msg = f"the configuration needs {name}, which has neither a value nor a default"
        raise StackError(msg)
    return value
