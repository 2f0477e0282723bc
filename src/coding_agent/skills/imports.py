"""Where an import belongs in a file's text, and how it is written there.

It joins an existing `from x import` of the same module, or stands where the file's own order puts it. Which
import is wanted is not decided here.
"""

from __future__ import annotations

import ast
import re
import sys
from typing import TYPE_CHECKING

from coding_agent.skills.modules import parse
from coding_agent.skills.syntax import indentation, split_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from coding_agent.skills.modules import Source

    ImportNode = ast.Import | ast.ImportFrom

_LINE_LENGTH = 88
"""Characters beyond which a joined import would be too long: the default of ruff and black."""


def add_import(text: str, source: Source, name: str, *, own: Collection[str] = (), package: str = "") -> str:
    """Return the text with one import more.

    `own` are the repository's top-level modules, which stand in a group of their own. With `package` (the
    one that relative imports start from) a module beside the file is imported relatively, where the file does
    so already.
    """
    tree = parse(text)
    if tree is None:
        return text
    level, module = _spell(tree, source, package)
    lines = split_lines(text)
    if source.attribute is not None:
        for node in _leading_imports(tree):
            if isinstance(node, ast.ImportFrom) and (node.level, node.module or "") == (level, module):
                joined = _join(lines, node, source.bound_name(name))
                if joined is not None:
                    return joined
    return _insert(lines, tree, _statement(source, name, level, module), own)


def _spell(tree: ast.Module, source: Source, package: str) -> tuple[int, str]:
    """Return level and module of the statement: relative only where the file imports relatively itself."""
    is_relative = any(isinstance(node, ast.ImportFrom) and node.level for node in tree.body)
    inside = source.module == package or source.module.startswith(f"{package}.")
    if package and is_relative and inside and source.attribute is not None:
        return 1, source.module[len(package) :].lstrip(".")
    return 0, source.module


def _statement(source: Source, name: str, level: int, module: str) -> str:
    if source.attribute is None:
        return f"import {source.bound_name(name)}"
    return f"from {'.' * level}{module} import {source.bound_name(name)}"


def _leading_imports(tree: ast.Module) -> list[ImportNode]:
    """Return the imports before the first other statement; the docstring is none."""
    found: list[ImportNode] = []
    for node in tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break
        found.append(node)
    return found


def _join(lines: Sequence[str], node: ast.ImportFrom, bound: str) -> str | None:
    """Return the text with a name added to an import of one line or of one name a line, None for others."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    old = [alias.name if alias.asname is None else f"{alias.name} as {alias.asname}" for alias in node.names]
    names = _with_name(old, bound)
    if first == last:
        found = re.fullmatch(r"(from\s+\S+\s+import\s+)(\()?([\w\s,]+?)(\))?(\s*)", lines[first])
        if found is None or bool(found[2]) != bool(found[4]):
            return None  # a comment, a second statement: better not touched
        line = f"{found[1]}{found[2] or ''}{', '.join(names)}{found[4] or ''}{found[5]}"
        return "".join([*lines[:first], line, *lines[last + 1 :]]) if len(line) <= _LINE_LENGTH else None
    inner = lines[first + 1 : last]
    plain = [line.strip().rstrip(",") for line in inner]
    if not lines[first].rstrip().endswith("(") or lines[last].strip() != ")" or plain != old:
        return None
    rows = [f"{indentation(inner[0])}{entry},\n" for entry in names]
    return "".join([*lines[: first + 1], *rows, *lines[last:]])


def _with_name(names: Sequence[str], bound: str) -> list[str]:
    """Return the names with one more: in its place where they are sorted, else at the end."""
    for key in (str, str.lower, _isort_key):
        if list(names) == sorted(names, key=key) and len(names) > 1:
            return sorted([*names, bound], key=key)
    return sorted([*names, bound], key=_isort_key) if len(names) == 1 else [*names, bound]


def _isort_key(name: str) -> tuple[int, str]:
    """Return isort's default order: CONSTANTS, Classes, functions."""
    word = name.split(maxsplit=1)[0]
    kind = 0 if word.isupper() and len(word) > 1 else 1 if word[0].isupper() else 2
    return kind, name


def _insert(lines: Sequence[str], tree: ast.Module, statement: str, own: Collection[str]) -> str:
    """Return the text with the statement on a line of its own, groups of imports a blank line apart."""
    imports = _leading_imports(tree)
    if not imports:
        return _insert_first(lines, tree, statement)
    (node,) = ast.parse(statement).body
    assert isinstance(node, ast.Import | ast.ImportFrom)
    key = _place(node, own)
    before = [one for one in imports if _place(one, own) <= key]
    if before:
        at = before[-1].end_lineno or before[-1].lineno
        gap = "\n" if _place(before[-1], own)[0] != key[0] else ""
        return "".join([*lines[:at], gap, f"{statement}\n", *lines[at:]])
    at = imports[0].lineno - 1
    gap = "\n" if _place(imports[0], own)[0] != key[0] else ""
    return "".join([*lines[:at], f"{statement}\n", gap, *lines[at:]])


def _place(node: ImportNode, own: Collection[str]) -> tuple[int, bool, str]:
    """Return group (future, standard, other, own, relative), `import` before `from`, and name."""
    is_from = isinstance(node, ast.ImportFrom)
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
    top = module.partition(".")[0]
    if isinstance(node, ast.ImportFrom) and node.level:
        group = 4
    elif top == "__future__":
        group = 0
    elif top in own:
        group = 3
    else:
        group = 1 if top in sys.stdlib_module_names else 2
    return group, is_from, module.lower()


def _insert_first(lines: Sequence[str], tree: ast.Module, statement: str) -> str:
    """Return the text with its first import: below docstring and opening comments, above the code."""
    has_docstring = ast.get_docstring(tree, clean=False) is not None
    if has_docstring:
        at = tree.body[0].end_lineno or 1
        rest = lines[at:]
        gap = "" if rest and not rest[0].strip() else "\n"
        end = lines[at - 1] if lines[at - 1].endswith("\n") else f"{lines[at - 1]}\n"
        return "".join([*lines[: at - 1], end, f"\n{statement}\n", gap if rest else "", *rest])
    at = 0
    while at < len(lines) and lines[at].startswith("#"):
        at += 1
    rest = lines[at:]
    before = "\n" if at else ""
    if not rest or not rest[0].strip():
        return "".join([*lines[:at], before, f"{statement}\n", *rest])
    is_block = re.match(r"(async\s+def|def|class|@)", rest[0]) is not None
    return "".join([*lines[:at], before, f"{statement}\n", "\n\n" if is_block else "\n", *rest])
