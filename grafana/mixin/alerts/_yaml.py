"""YAML as a person would write it: texts of several lines as blocks, keys in their order."""

from __future__ import annotations

from typing import Any

import yaml

_WIDTH = 1000
"""No line is folded: a folded expression cannot be searched for."""


class _Dumper(yaml.SafeDumper):
    """Knows blocks, and no anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def dump(document: Any, head: str) -> str:
    """The document below a comment."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return comment + str(body)
