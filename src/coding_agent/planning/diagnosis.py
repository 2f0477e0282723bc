"""What is wrong in the work tree, by the compiler, ruff and the target's tests.

It changes nothing and repairs nothing. Rules of findings: `syntax/<slug>`, `ruff/<code>`, `test/<slug>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.compiler import find_faults
from coding_agent.errors import ToolMissingError
from coding_agent.planning._lint import is_lint_asked, is_ruff_configured
from coding_agent.records import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Task, TestFailure, TestReport

_NO_TESTS_COLLECTED = 5
"""pytest's exit code when it found no test."""
_IMPORT_RULES = ("F401", "I001")
_SLUGS = {
    "AssertionError": "assertion",
    "ImportError": "import-error",
    "ModuleNotFoundError": "import-error",
    "AttributeError": "attribute-error",
    "NameError": "name-error",
    "UnboundLocalError": "other",
    "TypeError": "type-error",
    "SyntaxError": "syntax",
    "IndentationError": "syntax",
    "TabError": "syntax",
    "Timeout": "hang",
}


class RuleDiagnosis:
    """Looks with the tools of the bench; with a task, it reports lint only as far as the task is about it."""

    def __init__(self, bench: Workbench, task: Task | None = None) -> None:
        self._bench = bench
        self._is_asked = task is None or is_lint_asked(task.text)

    def lint(self) -> Sequence[Finding]:
        """Return syntax errors (the target's Python), then what ruff says of the files that compile."""
        paths = self._bench.files.paths("**/*.py")
        if not paths:
            return ()
        faults = find_faults(self._bench, paths)
        syntax = [faults[path].as_finding(path) for path in sorted(faults)]
        try:
            lint = self._ask_ruff()
        except ToolMissingError as error:  # what the compiler and the tests find can be repaired without it
            text = f"{error} ({error.hint}): undefined names and lint were not looked for"
            lint = (Finding(rule="lint/unavailable", message=text, data={"text": text}),)
        return [*syntax, *(found for found in lint if found.path not in faults)]

    def test(self) -> Sequence[Finding]:
        """Return what the whole suite reports, or why it could not be asked."""
        tests = self._bench.tests
        report = tests.run() if tests.is_available else None
        if report is None or not tests.is_available:  # not there, or broken, as its run has shown
            text = f"pytest cannot be imported by {tests.python}"
            return (Finding(rule="test/unavailable", message=text, data={"text": text}),)
        return _read_report(report)

    def _ask_ruff(self) -> Sequence[Finding]:
        """Return undefined names, and what ruff would fix safely where lint is wanted; no finding twice."""
        select = ("F821", *_IMPORT_RULES) if self._is_asked else ("F821",)
        found = list(self._bench.linter.check(select=select))
        if self._is_asked or is_ruff_configured(self._bench.root):
            found += self._bench.linter.check()
        wanted = (one for one in found if one.rule == "ruff/F821" or one.data.get("fix") == "safe")
        unique = {_place(one): one for one in wanted}
        return [unique[place] for place in sorted(unique)]


def _place(finding: Finding) -> tuple[str, int, int, str, str]:
    return (finding.path or "", finding.line or 0, finding.column or 0, finding.rule, finding.message)


def _read_report(report: TestReport) -> Sequence[Finding]:
    """Return one finding a failure, and one for a suite that failed without naming a test."""
    failures = [_as_finding(failure) for failure in report.failures]
    if failures or report.exit_code == 0:
        return failures
    if report.is_timed_out:
        text = "the tests did not end within their limit"
        return (Finding(rule="test/hang", message=text, data={"text": text, "tail": report.output_tail}),)
    if report.has_counts and report.exit_code == _NO_TESTS_COLLECTED:
        return (Finding(rule="test/none", message="there are no tests", data={"text": "there are no tests"}),)
    text = f"the tests ended with exit code {report.exit_code} and named no failing test"
    last = report.output_tail.strip().rpartition("\n")[2].strip()
    text = f"{text}; last line: {last}" if last else text
    return (Finding(rule="test/other", message=text, data={"text": text, "tail": report.output_tail}),)


def _as_finding(failure: TestFailure) -> Finding:
    slug = _SLUGS.get(failure.error, "collection" if failure.is_collection_error else "other")
    return Finding(
        rule=f"test/{slug}",
        message=f"{failure.test}: {failure.error}: {failure.message}",
        path=failure.path,
        line=failure.line,
        data={"test": failure.test, "error": failure.error, "text": failure.message},
    )
