"""The import of an undefined name, from its one source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coding_agent.compiler import compile_texts
from coding_agent.records import Repair, RepairOutcome
from coding_agent.skills.editing import Transaction
from coding_agent.skills.imports import add_import
from coding_agent.skills.modules import ModuleMap, Source
from coding_agent.skills.stdlib import find_in_stdlib, find_use

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from coding_agent.protocols import Workbench
    from coding_agent.records import Fact, Finding


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Import the name; `module` (and `attribute`) among the finding's facts is a lesson: from there."""
    name = _find_name(finding)
    if name is None or finding.path is None:
        return _decline(f"no name and file in {finding.message!r}")
    modules = ModuleMap(bench)
    if modules.tree(finding.path) is None:
        return _decline(f"{finding.path} cannot be parsed")
    if _is_imported(name, finding.path, modules):
        return _decline(f"{finding.path} imports {name} already")
    source, reason = _choose(finding, name, modules, bench)
    return _decline(reason) if source is None else _apply(finding.path, name, source, modules, bench)


def _find_name(finding: Finding) -> str | None:
    if finding.rule == "ruff/F821" and "name" in finding.data:
        return str(finding.data["name"])
    found = re.search(r"(?:name '|Undefined name `)(\w+)['`]", finding.message)
    return found[1] if found else None


def _is_imported(name: str, path: str, modules: ModuleMap) -> bool:
    """Whether the file imports the name at its top level, say since a moment ago."""
    tree = modules.tree(path)
    nodes = tree.body if tree is not None else []
    return any(bound == name for node in nodes for bound, _ in modules.imports_of(node, path))


def _choose(finding: Finding, name: str, modules: ModuleMap, bench: Workbench) -> tuple[Source | None, str]:
    """Return the source and why it is the one; None and why there is none."""
    assert finding.path is not None
    lesson = _read_lesson(finding)
    for where, sources in _ask(finding.path, name, modules, bench):
        usable = sorted(sources, key=str)
        if lesson is not None:
            if lesson in usable:
                return lesson, "a lesson"
        elif len(usable) == 1:
            return usable[0], where
        elif usable:
            told = ", ".join(source.module for source in usable)
            return None, f"{name} has several sources in {where}: {told}"
    return None, f"{name} can be imported from nowhere that is known"


def _ask(
    path: str, name: str, modules: ModuleMap, bench: Workbench
) -> Iterator[tuple[str, AbstractSet[Source]]]:
    """Yield each place to ask and its sources; the costly one last."""
    tree = modules.tree(path)
    assert tree is not None
    own = modules.module_name(path)
    imported = {one for one in modules.importers(name) if not modules.reaches(one.module, own)}
    yield "the imports of other files", imported
    defined = {one for one in modules.definers(name) if not modules.reaches(_module(one, modules), own)}
    yield "the repository", defined
    yield "the standard library", find_in_stdlib(bench, name, find_use(tree, name))


def _module(source: Source, modules: ModuleMap) -> str:
    """Return the module that an import runs: the attribute itself where that is one."""
    whole = f"{source.module}.{source.attribute}"
    return whole if modules.find_path(whole) else source.module


def _read_lesson(finding: Finding) -> Source | None:
    module, attribute = finding.data.get("module"), finding.data.get("attribute")
    return None if module is None else Source(str(module), None if attribute is None else str(attribute))


def _apply(path: str, name: str, source: Source, modules: ModuleMap, bench: Workbench) -> Repair:
    own = {modules.module_name(other).partition(".")[0] for other in modules.paths}
    text = modules.text(path)
    new = add_import(text, source, name, own=own, package=modules.package(path))
    if new == text or compile_texts(bench, [new])[0].fault is not None:
        return _decline(f"the import of {name} finds no place in {path}")
    parameters: dict[str, Fact] = {"name": name, "module": source.module}
    if source.attribute is not None:
        parameters["attribute"] = source.attribute
    with Transaction(bench) as edit:
        edit.write(path, new)
        changed = edit.keep()
    return Repair(
        outcome=RepairOutcome.SUCCEEDED,
        summary=f"{path} imports {name} from {source.module}",
        files_changed=changed,
        parameters=parameters,
    )


def _decline(reason: str) -> Repair:
    return Repair(outcome=RepairOutcome.NOT_APPLICABLE, summary=reason)
