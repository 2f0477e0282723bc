"""Says by the target's own checks whether the work tree is good.

Which checks those are, and how they run, is the test runner's business; what a failed check means for the
task is the agent's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import TestRunner
    from coding_agent.records import TestReport

_NO_TESTS_COLLECTED = 5
"""pytest's exit code; a foreign test command may use the number for anything."""


class SuiteVerifier:
    """Runs the whole suite of the target on the work tree."""

    def __init__(self, tests: TestRunner) -> None:
        self._tests = tests

    def verify(self, files_changed: Sequence[str]) -> TestReport | None:
        """Run the checks on the work tree; None when there is nothing that could check it.

        Nothing can when the target's Python has no pytest, and when there are no tests. A suite that passed
        on another copy of a changed file passed nothing: `is_passed` is False, `imported_elsewhere` says why.
        """
        report = self._tests.run(files_changed=files_changed) if self._tests.is_available else None
        if report is None or not self._tests.is_available:  # not there, or broken, as its run has shown
            return None
        if report.has_counts and report.exit_code == _NO_TESTS_COLLECTED:
            return None
        return report
