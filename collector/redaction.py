"""The Collector's redaction out of our own redactor's rules: `redaction` and `transform/redact_rest`."""

from __future__ import annotations

import json
import re
from typing import Any

from taskscope.redaction import RULES, Rule

_NAMED = re.compile(r"\(\?P<(?:keep|tail)>")
_NAMES = (
    r"(?i)(?:^|[._-])(?:pass(?:words?|wd|phrase|code)|pwd|secrets?|credentials?|authorization|cookies?|jwt"
    r"|(?:set-)?cookie|(?:[a-z]+[_.-])?(?:auth|access|api|client|refresh|session|bearer|id|user)[_.-]token"
    r"|(?:api|access|account|private|secret|auth|signing|encryption|master|session|service|storage|deploy"
    r"|shared)[_.-]?key)(?:[._-](?:hash|value))?$"
)


def build() -> dict[str, Any]:
    """Both processors, as configuration."""
    patterns = list(dict.fromkeys(_NAMED.sub("(?:", _pattern(rule)) for rule in RULES))
    processors: dict[str, Any] = {
        "redaction": {
            "allow_all_keys": True,
            "redact_all_types": True,
            "blocked_key_patterns": [_escaped(_NAMES)],
            "blocked_values": [_escaped(pattern) for pattern in patterns],
            "summary": "info",
        },
        "transform/redact_rest": {
            "error_mode": "ignore",
            "trace_statements": [
                _group("span", "span.name", "span.status.message"),
                _group("spanevent", "spanevent.name"),
            ],
            "log_statements": [_group("log", "log.severity_text", "log.event_name")],
        },
    }
    return {"processors": processors}


def _group(context: str, *paths: str) -> dict[str, Any]:
    return {"context": context, "statements": [_statement(path, rule) for path in paths for rule in RULES]}


def _statement(path: str, rule: Rule) -> str:
    groups = re.compile(rule.pattern).groupindex
    keep, tail = ("${keep}" if "keep" in groups else ""), ("${tail}" if "tail" in groups else "")
    pattern, marker = json.dumps(_pattern(rule)), json.dumps(f"{keep}[redacted:{rule.name}]{tail}")
    return _escaped(f"replace_pattern({path}, {pattern}, {marker})")


def _pattern(rule: Rule) -> str:
    return f"(?i){rule.pattern}" if rule.any_case else rule.pattern


def _escaped(text: str) -> str:
    """The text as a configuration says it, where a lone dollar sign begins a variable."""
    return text.replace("$", "$$")
