"""Where a function, class or method is named in a repository, and the edits that give it another name there.

Test files are never edited. Which name is the right one is not decided here.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coding_agent.skills.modules import is_test_file
from coding_agent.skills.syntax import split_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coding_agent.skills.modules import ModuleMap, Source

    Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_BUILTIN_ATTRIBUTES = frozenset(
    name for kind in (str, bytes, list, dict, set, tuple, int, float, object, type) for name in dir(kind)
)
"""A method of such a name may be meant on any value, so its uses cannot be told apart by the name."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What a name belongs to: a module's file, and a class in it for a method."""

    path: str
    class_name: str | None = None


class UnclearUseError(Exception):
    """A use of the name could mean something else; the message says which."""


def definitions_of(tree: ast.Module | None, class_name: str | None) -> dict[str, Definition]:
    """Return the functions and classes at a module's top level, or the methods of one of its classes."""
    body = tree.body if tree is not None else []
    if class_name is not None:
        classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == class_name]
        body = classes[0].body if len(classes) == 1 else []
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name: node for node in body if isinstance(node, kinds)}


def find_renames(modules: ModuleMap, owner: Owner, old: str, new: str) -> dict[str, str]:
    """Return path to text of each source file in which the old name becomes the new one.

    The definition is renamed along where it bears the old name. UnclearUseError where a use may not be meant.
    """
    exporting = _exporting_modules(modules, owner, old)
    texts = {}
    for path, tree in modules.mentioning(old):
        if is_test_file(path):
            continue
        if owner.class_name is None:
            places = set(_function_places(modules, path, tree, old, exporting))
        else:
            places = set(_method_places(path, tree, old, owner))
        if places:
            texts[path] = _replace(modules.text(path), places, old, new)
    return texts


def _exporting_modules(modules: ModuleMap, owner: Owner, name: str) -> set[str]:
    """Return the modules from which the name can be imported: its own, and those that hand it on."""
    exporting = {modules.module_name(owner.path)}
    is_growing = True
    while is_growing:
        found = {
            modules.module_name(path)
            for path, tree in modules.mentioning(name)
            for node in tree.body
            for bound, source in modules.imports_of(node, path)
            if bound == name and source.attribute == name and source.module in exporting
        }
        is_growing = not found <= exporting
        exporting |= found
    return exporting


def _function_places(
    modules: ModuleMap, path: str, tree: ast.Module, name: str, exporting: set[str]
) -> Iterator[tuple[int, int]]:
    """Yield line (from 1) and column (from 0, in bytes) of each use of a module's function or class."""
    bindings = dict(pair for node in ast.walk(tree) for pair in modules.imports_of(node, path))
    source = bindings.get(name)
    is_bound = source is not None and source.attribute == name and source.module in exporting
    is_star = any(
        isinstance(node, ast.ImportFrom)
        and node.names[0].name == "*"
        and modules.absolute(node, path) in exporting
        for node in tree.body
    )
    is_own = modules.module_name(path) in exporting and source is None
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=aliases) if modules.absolute(node, path) in exporting:
                yield from ((one.lineno, one.col_offset) for one in aliases if one.name == name)
            case ast.Attribute(attr=attribute, value=value) if attribute == name:
                if _resolve(value, bindings) in exporting:
                    yield _end_of(node, name)
            case ast.Name(id=used) if used == name and (is_bound or is_star or is_own):
                if not isinstance(node.ctx, ast.Load):
                    msg = f"{path}:{node.lineno} binds {name} anew"
                    raise UnclearUseError(msg)
                yield node.lineno, node.col_offset
            case ast.arg(arg=argument) if argument == name and (is_bound or is_star or is_own):
                msg = f"{path}:{node.lineno} has a parameter {name}"
                raise UnclearUseError(msg)
            case _:
                pass
    if is_own:
        yield from _definition_places(tree, name, None)
    if is_own or is_bound:
        yield from _listed_places(tree, name)


def _method_places(path: str, tree: ast.Module, name: str, owner: Owner) -> Iterator[tuple[int, int]]:
    """Yield the places where an attribute of that name is used, and the method's definition."""
    if name in _BUILTIN_ATTRIBUTES:
        msg = f"{name} is also a method of built-in types"
        raise UnclearUseError(msg)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and (path, node.name) != (owner.path, owner.class_name):
            if name in {
                one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }:
                msg = f"{path}:{node.lineno} class {node.name} has a {name} too"
                raise UnclearUseError(msg)
        elif isinstance(node, ast.Attribute) and node.attr == name:
            yield _end_of(node, name)
    if path == owner.path:
        yield from _definition_places(tree, name, owner.class_name)


def _definition_places(tree: ast.Module, name: str, class_name: str | None) -> Iterator[tuple[int, int]]:
    node = definitions_of(tree, class_name).get(name)
    if node is not None:
        keyword = {ast.ClassDef: "class ", ast.AsyncFunctionDef: "async def "}.get(type(node), "def ")
        yield node.lineno, node.col_offset + len(keyword)


def _listed_places(tree: ast.Module, name: str) -> Iterator[tuple[int, int]]:
    """Yield the places of the name in `__all__`, inside the quotes."""
    for node in tree.body:
        is_all = isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        )
        for part in ast.walk(node) if is_all else ():
            if isinstance(part, ast.Constant) and part.value == name:
                yield part.lineno, part.col_offset + 1


def _resolve(value: ast.expr, bindings: Mapping[str, Source]) -> str | None:
    """Return the dotted name of the module that an expression like `shop.pricing` stands for."""
    dotted = ast.unparse(value)
    first, _, rest = dotted.partition(".")
    source = bindings.get(first)
    if source is None:
        return None
    return ".".join(filter(None, (source.module, source.attribute, rest)))


def _end_of(node: ast.Attribute, name: str) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset - len(name.encode())


def _replace(text: str, places: set[tuple[int, int]], old: str, new: str) -> str:
    """Return the text with the old name replaced at these places; a place that holds another word is left."""
    lines = [line.encode() for line in split_lines(text)]
    for number, column in sorted(places, reverse=True):
        line = lines[number - 1]
        if re.match(rb"%b\b" % re.escape(old.encode()), line[column:]):
            lines[number - 1] = line[:column] + new.encode() + line[column + len(old.encode()) :]
    return b"".join(lines).decode()
