"""Which modules a repository consists of, what they define and what they import, read without running them.

Only what stands at the top level of a module counts. Files that our own Python cannot parse are passed over.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from coding_agent.errors import ToolFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Workbench

_TEST_FILE = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where a name comes from: `import module`, or `from module import attribute`."""

    module: str
    attribute: str | None = None

    def bound_name(self, name: str) -> str:
        """Return the statement's last part that binds the name, with `as` where it differs."""
        own = self.attribute or self.module
        return own if own == name else f"{own} as {name}"


def is_test_file(path: str) -> bool:
    """Whether a file belongs to the tests, by its name or its folder as pytest's users name them."""
    return _TEST_FILE.search(path) is not None


def parse(text: str) -> ast.Module | None:
    """Return the syntax tree, None where our Python cannot read the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in strangers' code
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class ModuleMap:
    """The Python files of a work tree, parsed when first needed."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.paths: Sequence[str] = bench.files.paths("**/*.py")
        self._folders = {str(PurePosixPath(path).parent) for path in self.paths}
        self._trees: dict[str, ast.Module | None] = {}
        self._texts: dict[str, str] = {}

    def text(self, path: str) -> str:
        """Return a file's text, empty where it cannot be decoded."""
        if path not in self._texts:
            try:
                self._texts[path] = self._bench.files.read(path)
            except ToolFailedError:
                self._texts[path] = ""
        return self._texts[path]

    def tree(self, path: str) -> ast.Module | None:
        """Return a file's syntax tree, None where there is none."""
        if path not in self._trees:
            self._trees[path] = parse(self.text(path))
        return self._trees[path]

    def mentioning(self, name: str) -> Iterator[tuple[str, ast.Module]]:
        """Yield path and tree of each file in which the name stands as a word."""
        word = re.compile(rf"\b{re.escape(name)}\b")
        for path in self.paths:
            if word.search(self.text(path)) and (tree := self.tree(path)) is not None:
                yield path, tree

    def module_name(self, path: str) -> str:
        """Return the dotted name by which others import a file; `src/` is a root of its own."""
        parts = list(PurePosixPath(path).with_suffix("").parts)
        if parts[0] == "src" and "src/__init__.py" not in self.paths:
            parts = parts[1:]
        if parts[-1:] == ["__init__"]:
            parts = parts[:-1]
        return ".".join(parts)

    def package(self, path: str) -> str:
        """Return the package that relative imports of a file start from."""
        name = self.module_name(path)
        return name if path.endswith("__init__.py") else name.rpartition(".")[0]

    def find_path(self, module: str) -> str | None:
        """Return the file of a module, None where it is not the repository's."""
        stem = module.replace(".", "/")
        tries = (f"{root}{stem}{end}" for root in ("", "src/") for end in (".py", "/__init__.py"))
        return next((path for path in tries if path in self.paths), None)

    def importers(self, name: str) -> set[Source]:
        """Return from where the repository's files import something under this name."""
        return {
            source
            for path, tree in self.mentioning(name)
            for node in ast.walk(tree)
            for bound, source in self.imports_of(node, path)
            if bound == name
        }

    def imports_of(self, node: ast.AST, path: str) -> Iterator[tuple[str, Source]]:
        """Yield the names that an import binds, each with its source; relative ones made absolute."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield alias.asname, Source(alias.name)
                else:
                    top = alias.name.partition(".")[0]
                    yield top, Source(top)
        elif isinstance(node, ast.ImportFrom):
            module = self.absolute(node, path)
            for alias in node.names:
                if alias.name != "*" and module:
                    yield alias.asname or alias.name, Source(module, alias.name)

    def absolute(self, node: ast.ImportFrom, path: str) -> str:
        """Return the module that a `from` import names, also a relative one."""
        if not node.level:
            return node.module or ""
        parts = self.package(path).split(".")
        start = ".".join(parts[: len(parts) - node.level + 1])
        return ".".join(filter(None, (start, node.module or "")))

    def definers(self, name: str) -> set[Source]:
        """Return the modules, tests left out, that define the name at their top level, or are called so."""
        found = {
            Source(self.module_name(path), name)
            for path, tree in self.mentioning(name)
            if not is_test_file(path) and name in definitions(tree)
        }
        for path in self.paths:
            module = self.module_name(path)
            if module.rpartition(".")[2] == name and not is_test_file(path):
                package = module.rpartition(".")[0]
                found.add(Source(package, name) if package else Source(name))
        return found

    def reaches(self, start: str, goal: str) -> bool:
        """Whether importing the module `start` imports the module `goal` on the way."""
        seen, waiting = set(), [start]
        while waiting:
            module = waiting.pop()
            if module == goal:
                return True
            path = self.find_path(module)
            if path is None or path in seen:
                continue
            seen.add(path)
            waiting += self._imported_modules(path)
        return False

    def _imported_modules(self, path: str) -> list[str]:
        tree = self.tree(path)
        sources = [
            source for node in (tree.body if tree else ()) for _, source in self.imports_of(node, path)
        ]
        return [name for one in sources for name in (one.module, f"{one.module}.{one.attribute}")]


def definitions(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top level; imported ones are not its own."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names
