"""Runs the target's own tests with the target's own Python, on the code of the work tree.

Work tree and `src/` stand first on PYTHONPATH, the folder of our results plugin last. What a failure means
is for a diagnosis to say.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import ToolMissingError
from coding_agent.records import Command, CommandResult, TestFailure, TestReport

from . import process
from ._results import Results, imported_elsewhere, load_results, module_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Limits

HANG, CRASH = "Timeout", "Crash"
"""`TestFailure.error` of the test that ran when the suite was stopped, or when its process died."""

_PLUGIN_FOLDER = Path(__file__).parent / "pytest_plugin"
_PLUGIN = "coding_agent_results"
_TAIL_CHARACTERS = 4000
# One broken file, or an -x of the target's own, must not hide what else is wrong.
_ALL_OF_IT = ("--maxfail=0", "--continue-on-collection-errors")
_PASSED, _SOME_FAILED, _USAGE, _NO_TESTS = 0, 1, 4, 5
_PYTHONS = frozenset({"python", "python3"})
# Without the import itself, which takes a tenth of a second.
_FIND = "import sys; from importlib.util import find_spec; sys.exit(find_spec('pytest') is None)"
_IMPORT = "import pytest"
_RAISED = re.compile(r"^E?\s*([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)):? ?(.*)$", re.MULTILINE)


class PytestTool:
    """The tests of one work tree; `source` is the user's repository, whose code must not answer instead.

    With a `test_command` that one is run and judged by its exit code alone. `python` in it is the target's,
    and each program beside that goes before others, as in an activated environment.
    """

    def __init__(
        self,
        root: Path,
        *,
        source: Path,
        python: Path,
        limits: Limits,
        test_command: Sequence[str] = (),
        timeout: float = 300.0,
        output_limit_bytes: int = 1_000_000,
    ) -> None:
        self._root = root
        self._source = source
        self._python = python
        self._limits = limits
        self._test_command = (
            (str(python), *test_command[1:])
            if test_command and test_command[0] in _PYTHONS
            else tuple(test_command)
        )
        self._timeout = timeout
        self._output_limit_bytes = output_limit_bytes
        self._is_available: bool | None = True if test_command else None

    @property
    def python(self) -> Path:
        """The interpreter that the target's checks run with."""
        return self._python

    @property
    def is_available(self) -> bool:
        """Whether that interpreter can run the checks at all (pytest importable, or a test command given).

        Before the first run pytest is only looked for; that it is there and broken shows when a run does not
        begin.
        """
        if self._is_available is None:
            self._is_available = self._can(_FIND)
        return self._is_available

    def run(self, *selection: str, files_changed: Sequence[str] = ()) -> TestReport:
        """Run the suite, or only the node ids given, and report what it said.

        A suite that hangs is stopped at its limit; the test that was running is among the failures, with the
        error `Timeout`. Raises ToolMissingError when the interpreter or the test command is not there.
        """
        with tempfile.TemporaryDirectory(prefix="tests-") as folder:
            if self._test_command:
                return self._run_command(Path(folder), selection, files_changed)
            return self._run_pytest(Path(folder), selection, files_changed)

    def _run_pytest(self, folder: Path, selection: Sequence[str], changed: Sequence[str]) -> TestReport:
        file = folder / "results.jsonl"
        environment = {"CODING_AGENT_RESULTS": str(file), "CODING_AGENT_ROOT": str(self._root)}
        argv = (str(self._python), "-m", "pytest", "-q", "--color=no", *_ALL_OF_IT, "-p", _PLUGIN)
        result = self._spawn((*argv, "-p", "no:cacheprovider", *selection), environment)
        if result.exit_code == _USAGE and "unrecognized arguments" in result.stdout + result.stderr:
            # The target's addopts may hold --lf and the like, which only the cache's plugin knows.
            file.unlink(missing_ok=True)
            result = self._spawn((*argv, "-o", f"cache_dir={folder / 'cache'}", *selection), environment)
        results = load_results(file)
        if not results.has_started and not result.is_timed_out:
            self._is_available = self._can(_IMPORT)
        return _report(result, results, imported_elsewhere(results, self._root, self._source, changed))

    def _can(self, code: str) -> bool:
        try:
            return self._spawn((str(self._python), "-c", code), {}).is_ok
        except ToolMissingError:
            return False

    def _run_command(self, folder: Path, selection: Sequence[str], changed: Sequence[str]) -> TestReport:
        result = self._spawn((*self._test_command, *selection), {})
        origins = self._load_origins(folder / "origins.jsonl", changed)
        return TestReport(
            passed=0,
            failed=0,
            errors=0,
            skipped=0,
            failures=(),
            exit_code=result.exit_code,
            is_timed_out=result.is_timed_out,
            has_counts=False,
            imported_elsewhere=imported_elsewhere(origins, self._root, self._source, changed),
            output_tail=_tail(result),
        )

    def _load_origins(self, file: Path, changed: Sequence[str]) -> Results:
        """Ask the target's Python where it would import the changed modules from, beside the test command."""
        root = self._root.resolve()
        names = {name for path in changed if path.endswith(".py") for name in module_names(root, path)}
        if names:
            argv = (str(self._python), str(_PLUGIN_FOLDER / "coding_agent_origins.py"), *sorted(names))
            with contextlib.suppress(ToolMissingError):  # a target that needs no Python of ours
                self._spawn(argv, {"CODING_AGENT_RESULTS": str(file)})
        return load_results(file)

    def _spawn(self, argv: Sequence[str], environment: dict[str, str]) -> CommandResult:
        paths = {"PYTHONPATH": self._python_path(), "PATH": self._program_path()}
        command = Command(argv=tuple(argv), env={**environment, **paths})
        return process.run_process(
            command,
            root=self._root,
            limits=self._limits,
            timeout=self._timeout,
            output_limit_bytes=self._output_limit_bytes,
        )

    def _python_path(self) -> str:
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        folders = (str(self._root), str(self._root / "src"), *inherited, str(_PLUGIN_FOLDER))
        return os.pathsep.join(filter(None, folders))

    def _program_path(self) -> str:
        return os.pathsep.join((str(self._python.parent), os.environ.get("PATH", os.defpath)))


def _report(result: CommandResult, results: Results, elsewhere: tuple[str, ...]) -> TestReport:
    failures = list(results.failures)
    if result.is_timed_out:
        told = f"still running when the suite was stopped after {result.duration:.0f} s"
        failures += results.unfinished(HANG, told)
    elif not failures and result.exit_code not in {_PASSED, _NO_TESTS}:
        failures += [*results.unfinished(CRASH, _tail(result))] or [_broken_run(result)]
    return TestReport(
        passed=results.passed,
        failed=results.failed,
        errors=results.errors,
        skipped=results.skipped,
        failures=tuple(failures),
        exit_code=result.exit_code,
        is_timed_out=result.is_timed_out,
        imported_elsewhere=elsewhere,
        output_tail=_tail(result),
    )


def _broken_run(result: CommandResult) -> TestFailure:
    """Tell a run that ended without a failed test: a conftest.py that cannot be imported, a wrong option."""
    output = f"{result.stdout}\n{result.stderr}"
    raised = _RAISED.findall(output)
    error, message = raised[-1] if raised else ("UsageError" if result.exit_code == _USAGE else CRASH, "")
    conftest = re.search(r"while loading conftest '([^']+)'", output)
    return TestFailure(
        test=conftest.group(1) if conftest else "",
        error=error.rpartition(".")[2],
        message=message or output.strip()[-_TAIL_CHARACTERS:],
        is_collection_error=True,
    )


def _tail(result: CommandResult) -> str:
    return "\n".join(part for part in (result.stdout.strip(), result.stderr.strip()) if part)[
        -_TAIL_CHARACTERS:
    ]
