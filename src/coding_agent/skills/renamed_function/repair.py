"""One name for a thing that was renamed halfway: the one that the tests use."""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING

from coding_agent.compiler import compile_texts
from coding_agent.records import Repair, RepairOutcome
from coding_agent.skills.editing import Transaction
from coding_agent.skills.modules import ModuleMap, is_test_file, parse
from coding_agent.skills.renaming import Owner, UnclearUseError, definitions_of, find_renames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding
    from coding_agent.skills.renaming import Definition

_VERSIONS_LIMIT = 30
"""Commits of the file that are searched for the renaming."""
_ALIKE_BODIES = 0.6
_ALIKE_NAMES = 0.6
"""Ratios of difflib, 0 to 1: its own word for a close match."""
_WORD = re.compile(r"[A-Z][a-z]{2,}|[a-z]{3,}|[A-Z]{3,}")
"""A word of three letters or more in a name, in snake or in camel case."""


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Give the thing one name; `counterpart` among the finding's facts is a lesson that says which it was."""
    modules = ModuleMap(bench)
    missing = _find_missing(finding.message)
    owner = _find_owner(finding, modules) if missing else None
    if missing is None or owner is None:
        return _decline(f"no definition of the repository is meant by {finding.message!r}")
    present = definitions_of(modules.tree(owner.path), owner.class_name)
    if missing in present:
        return _decline(f"{missing} is defined in {owner.path}")
    lesson = finding.data.get("counterpart")
    counterpart = str(lesson) if lesson else _find_counterpart(missing, owner, present, modules, bench)
    if counterpart not in present:
        return _decline(f"no definition in {owner.path} is plainly what {missing} is called now")
    return _settle(finding, bench, modules, owner, (missing, counterpart))


def _find_missing(message: str) -> str | None:
    found = re.search(r"(?:cannot import name|has no attribute|name) '(\w+)'", message)
    return found[1] if found else None


def _find_owner(finding: Finding, modules: ModuleMap) -> Owner | None:
    """Return the module or class that lacks the name: the message tells, or a NameError's own file."""
    message = finding.message
    if found := re.search(
        r"(?:cannot import name '\w+' from(?: partially initialized module)?|module) '([\w.]+)'", message
    ):
        path = modules.find_path(found[1])
        return None if path is None else Owner(path)
    if found := re.search(r"(?:type object )?'(\w+)'(?: object)? has no attribute", message):
        classes = [
            path
            for path, tree in modules.mentioning(found[1])
            if not is_test_file(path) and isinstance(definitions_of(tree, None).get(found[1]), ast.ClassDef)
        ]
        return Owner(classes[0], found[1]) if len(classes) == 1 else None
    is_source = finding.path is not None and not is_test_file(finding.path)
    return Owner(finding.path or "") if is_source and "is not defined" in message else None


def _find_counterpart(
    missing: str, owner: Owner, present: Mapping[str, Definition], modules: ModuleMap, bench: Workbench
) -> str | None:
    for newer, older in _versions(owner, modules, bench):
        if missing in older and missing not in newer:
            came = [name for name in newer if name not in older]
            alike = [name for name in came if _likeness(older[missing], newer[name]) >= _ALIKE_BODIES]
            return alike[0] if len(alike) == 1 else None
    unused = [
        name
        for name, node in present.items()
        if not _is_used(name, modules, in_tests=False)
        and _are_named_alike(name, missing)
        and _fits_calls(node, missing, modules)
    ]
    return unused[0] if len(unused) == 1 else None


def _versions(
    owner: Owner, modules: ModuleMap, bench: Workbench
) -> Iterator[tuple[Mapping[str, Definition], Mapping[str, Definition]]]:
    """Yield the definitions of each version of the file and of the one before, the newest first."""
    newer = definitions_of(modules.tree(owner.path), owner.class_name)
    if not bench.git.is_repository:
        return
    log = bench.git.run("log", f"-n{_VERSIONS_LIMIT}", "--format=%H", "--", owner.path)
    for commit in log.stdout.split() if log.is_ok else ():
        text = bench.git.run("show", f"{commit}:./{owner.path}")
        older = definitions_of(parse(text.stdout), owner.class_name) if text.is_ok else {}
        yield newer, older
        newer = older or newer  # a version that could not be parsed says nothing


def _likeness(one: Definition, other: Definition) -> float:
    return difflib.SequenceMatcher(None, _body(one), _body(other), autojunk=False).ratio()


def _body(node: Definition) -> str:
    """Return a definition's source with its own name neutral, so that only a change of the rest counts."""
    return re.sub(rf"\b{node.name}\b", "_", ast.unparse(node))


def _is_used(name: str, modules: ModuleMap, *, in_tests: bool) -> bool:
    """Whether the name is used in the sources, or in the tests (its definition is no use)."""
    return any(
        _uses(node, name)
        for path, tree in modules.mentioning(name)
        if is_test_file(path) is in_tests
        for node in ast.walk(tree)
    )


def _uses(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Name(id=used) | ast.Attribute(attr=used):
            return used == name
        case ast.ImportFrom(names=aliases):
            return name in {alias.name for alias in aliases}
        case ast.Constant(value=str(text)):
            return text.endswith(f".{name}")  # monkeypatch.setattr("shop.pricing.total", ...)
        case _:
            return False


def _are_named_alike(one: str, other: str) -> bool:
    """Whether two names are close, or have a word of three letters or more in common."""
    words = [{word.lower() for word in _WORD.findall(name)} for name in (one, other)]
    return bool(words[0] & words[1]) or difflib.SequenceMatcher(None, one, other).ratio() >= _ALIKE_NAMES


def _fits_calls(node: Definition, missing: str, modules: ModuleMap) -> bool:
    """Whether every call of the missing name has as many arguments as the definition takes."""
    if isinstance(node, ast.ClassDef):
        return True
    taken = node.args
    most = len(taken.posonlyargs) + len(taken.args)
    least = most - len(taken.defaults)
    has_self = bool(taken.args) and taken.args[0].arg in {"self", "cls"}
    known = {one.arg for one in (*taken.args, *taken.kwonlyargs)}
    for call in _calls(missing, modules):
        given = len(call.args) + has_self
        named = {keyword.arg for keyword in call.keywords}
        if (given > most and not taken.vararg) or given + len(named) < least:
            return False
        if not taken.kwarg and not named <= known:
            return False
    return True


def _calls(name: str, modules: ModuleMap) -> Iterator[ast.Call]:
    for _, tree in modules.mentioning(name):
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called == name:
                    is_open = any(isinstance(one, ast.Starred) for one in node.args)
                    if not is_open and all(keyword.arg for keyword in node.keywords):
                        yield node
                case _:
                    pass


def _settle(
    finding: Finding, bench: Workbench, modules: ModuleMap, owner: Owner, names: tuple[str, str]
) -> Repair:
    """Rename towards the name that the tests use, and keep it if the failing test no longer misses it."""
    missing, counterpart = names
    used = [_is_used(name, modules, in_tests=True) for name in names]
    if all(used):
        return _decline(f"the tests use both {missing} and {counterpart}")
    old, new = (counterpart, missing) if used[0] else (missing, counterpart)
    try:
        texts = find_renames(modules, owner, old, new)
    except UnclearUseError as error:
        return _decline(f"{old} cannot be renamed: {error}")
    if not texts or any(verdict.fault for verdict in compile_texts(bench, list(texts.values()))):
        return _decline(f"no source uses {old}")
    with Transaction(bench) as edit:
        for path, text in texts.items():
            edit.write(path, text)
        if _is_still_missing(finding, missing, bench):
            return _decline(f"with {old} renamed to {new} the test still misses {missing}")
        changed = edit.keep()
    return Repair(
        outcome=RepairOutcome.SUCCEEDED,
        summary=f"{old} is called {new} in {', '.join(changed)}",
        files_changed=changed,
        parameters={"name": missing, "counterpart": counterpart},
    )


def _is_still_missing(finding: Finding, missing: str, bench: Workbench) -> bool:
    report = bench.tests.run(str(finding.data["test"]))
    named = re.compile(rf"'{missing}'")
    return bool(report.imported_elsewhere) or any(
        named.search(failure.message) for failure in report.failures
    )


def _decline(reason: str) -> Repair:
    return Repair(outcome=RepairOutcome.NOT_APPLICABLE, summary=reason)
