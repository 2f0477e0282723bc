"""Turns the lines that the pytest plugin wrote into a report.

How the lines come into being is the plugin's business, how pytest is run the tool's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coding_agent.records import TestFailure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(slots=True)
class Results:
    """What the lines of one run add up to."""

    has_started: bool = False
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    failures: list[TestFailure] = field(default_factory=list)
    running: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Tests, and files being collected, that began and did not end."""
    modules: dict[str, set[str]] = field(default_factory=dict)
    """Name of a module to the real paths of the files it was imported from."""
    standard_library: str = ""

    def unfinished(self, error: str, message: str) -> Iterator[TestFailure]:
        """Give what was running when the suite came to its end, as failures of this kind."""
        for test, line in self.running.items():
            yield TestFailure(
                test=test,
                error=error,
                message=message,
                path=line.get("path") or test.partition("::")[0],
                line=_counted_from_one(line.get("line")),
                is_collection_error=line["kind"] == "collecting",
            )


def load_results(path: Path) -> Results:
    """Return what a run wrote, as far as it came; a torn last line is left out."""
    results = Results()
    text = path.read_bytes() if path.exists() else b""
    for raw in text.splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        _STEPS[line["kind"]](results, line)
    return results


def imported_elsewhere(results: Results, root: Path, source: Path, changed: Sequence[str]) -> tuple[str, ...]:
    """Return the changed files whose modules came from another place than the work tree.

    Found by the module's name, and by its place in the user's repository `source`, which an editable install
    points to. A module of the standard library with the same name is no copy of ours. One that came from both
    places is named as well: which of the two the tests believed nobody can say.
    """
    root = root.resolve()
    places = {place for places in results.modules.values() for place in places}
    return tuple(
        path
        for path in changed
        if path.endswith(".py")
        and (_is_from_source(root, source, path, places) or _is_foreign(root, path, results))
    )


def module_names(root: Path, path: str) -> set[str]:
    """Return the names to import a file by: from the root, from `src/`, from its package's place."""
    parts = list(Path(path).with_suffix("").parts)
    start = len(parts) - 1
    while start > 0 and root.joinpath(*parts[:start], "__init__.py").exists():
        start -= 1
    # A file in no package is a module of its own only where PYTHONPATH looks: `scripts/yaml.py` is no `yaml`.
    starts = {0} | ({start} if start < len(parts) - 1 else set()) | ({1} if parts[0] == "src" else set())
    if parts[-1] == "__init__":
        parts.pop()
    return {".".join(parts[first:]) for first in starts if parts[first:]}


def _is_from_source(root: Path, source: Path, path: str, places: set[str]) -> bool:
    return source.resolve() != root and str((source / path).resolve()) in places


def _is_foreign(root: Path, path: str, results: Results) -> bool:
    for name in module_names(root, path):
        for place in results.modules.get(name, ()):
            found = Path(place)
            if not found.is_relative_to(root) and not _is_standard(found, results.standard_library):
                return True
    return False


def _is_standard(place: Path, standard_library: str) -> bool:
    return place.is_relative_to(standard_library or "/nowhere") and "site-packages" not in place.parts


def _take_start(results: Results, _: dict[str, Any]) -> None:
    results.has_started = True


def _take_collecting(results: Results, line: dict[str, Any]) -> None:
    # Collected one after the other: the next one begins where the last one ended.
    _forget_collecting(results)
    results.running[line["test"]] = line


def _take_running(results: Results, line: dict[str, Any]) -> None:
    _forget_collecting(results)
    results.running[line["test"]] = line


def _forget_collecting(results: Results) -> None:
    results.running = {test: line for test, line in results.running.items() if line["kind"] != "collecting"}


def _take_finished(results: Results, line: dict[str, Any]) -> None:
    results.running.pop(line["test"], None)


def _take_collection(results: Results, line: dict[str, Any]) -> None:
    results.errors += 1
    results.failures.append(_failure(line, is_collection_error=True))


def _take_result(results: Results, line: dict[str, Any]) -> None:
    is_call = line["when"] == "call"
    if line["outcome"] == "skipped":
        results.skipped += 1
    elif line["outcome"] == "passed":
        results.passed += is_call and not line.get("is_subtest", False)
    elif is_call:
        results.failed += 1
        results.failures.append(_failure(line))
    else:
        results.errors += 1
        results.failures.append(_failure(line))


def _take_modules(results: Results, line: dict[str, Any]) -> None:
    results.standard_library = line["standard"]
    for name, file in line["files"].items():
        results.modules.setdefault(name, set()).add(file)


def _failure(line: dict[str, Any], *, is_collection_error: bool = False) -> TestFailure:
    return TestFailure(
        test=line["test"],
        error=line.get("error") or "CollectError",
        message=line.get("message") or line.get("text") or "",
        path=line.get("path"),
        line=line.get("line"),
        is_collection_error=is_collection_error,
    )


def _counted_from_one(line: int | None) -> int | None:
    return None if line is None else line + 1  # pytest's locations count from 0


_STEPS = {
    "start": _take_start,
    "collecting": _take_collecting,
    "collection": _take_collection,
    "running": _take_running,
    "finished": _take_finished,
    "result": _take_result,
    "modules": _take_modules,
}
