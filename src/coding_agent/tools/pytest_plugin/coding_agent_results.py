"""A pytest plugin that runs inside the target's own Python and writes what happened, one JSON line each.

It is loaded by `-p` from a folder that stands last on PYTHONPATH. It must work with Python >= 3.8 and
pytest >= 6, imports the standard library only, and never disturbs the run: what it cannot write is missing.
"""

# ruff: noqa: ARG001, D103, INP001, PTH118 - hooks are told by pytest; a folder for one module; os.path is faster

from __future__ import annotations

import json
import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_RESULTS = os.environ.get("CODING_AGENT_RESULTS", "")
_ROOT = os.path.realpath(os.environ.get("CODING_AGENT_ROOT", "."))
_MESSAGE_LIMIT = 4000
_is_worker = False
_rootdir = _ROOT


def _write(**line: Any) -> None:
    """Append one line at once, so that several processes (pytest-xdist) may write to one file."""
    try:
        data = json.dumps(line).encode("ascii") + b"\n"
        handle = os.open(_RESULTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
    except (OSError, ValueError, TypeError):
        pass


def _inside(path: Any) -> str | None:
    """Return a file's path relative to the work tree, None where it lies elsewhere or was installed."""
    real = os.path.realpath(str(path))
    if not real.startswith(_ROOT + os.sep) or "site-packages" in real:
        return None
    return os.path.relpath(real, _ROOT).replace(os.sep, "/")


def _local(nodeid: str) -> str:
    """Return a node id relative to the work tree; pytest counts from its own root folder."""
    path, separator, rest = nodeid.partition("::")
    if not path or os.path.realpath(_rootdir) == _ROOT:
        return nodeid
    return (_inside(os.path.join(_rootdir, path)) or path) + separator + rest


def _describe(error: Any) -> dict[str, Any]:
    cause = getattr(error, "__cause__", None)
    if type(error).__name__ == "CollectError" and cause is not None:
        error = cause  # pytest wraps what went wrong while it imported a test file
    path = line = None
    trace = error.__traceback__
    while trace is not None:
        found = _inside(trace.tb_frame.f_code.co_filename)
        if found is not None:
            path, line = found, trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename and _inside(error.filename):
        path, line = _inside(error.filename), error.lineno
    return {"error": type(error).__name__, "message": _text_of(error), "path": path, "line": line}


def _text_of(error: Any) -> str:
    try:
        return str(error)[:_MESSAGE_LIMIT]
    except Exception:  # noqa: BLE001 - a foreign __str__ may do anything
        return ""


def pytest_configure(config: Any) -> None:
    global _is_worker, _rootdir  # noqa: PLW0603 - a plugin module is made once for a process
    _is_worker = hasattr(config, "workerinput")
    _rootdir = str(config.rootpath if hasattr(config, "rootpath") else config.rootdir)  # pytest 6.0
    _write(kind="start")


def pytest_collectstart(collector: Any) -> None:
    if collector.nodeid:
        _write(kind="collecting", test=_local(collector.nodeid))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    outcome = yield
    if call.excinfo is not None:
        outcome.get_result().coding_agent_error = _describe(call.excinfo.value)


def pytest_exception_interact(call: Any, report: Any) -> None:
    if call is not None and call.excinfo is not None and not hasattr(report, "coding_agent_error"):
        report.coding_agent_error = _describe(call.excinfo.value)


def pytest_collectreport(report: Any) -> None:
    if _is_worker:
        return
    if report.failed:
        found = getattr(report, "coding_agent_error", None) or {}
        _write(
            kind="collection",
            test=_local(report.nodeid),
            text=str(report.longrepr)[-_MESSAGE_LIMIT:],
            **found,
        )
    elif report.skipped:
        _write(kind="result", test=_local(report.nodeid), when="collect", outcome="skipped")


def pytest_runtest_logstart(nodeid: str, location: Any) -> None:
    if not _is_worker:
        _write(
            kind="running",
            test=_local(nodeid),
            path=_inside(os.path.join(_rootdir, location[0])),
            line=location[1],
        )


def pytest_runtest_logfinish(nodeid: str) -> None:
    if not _is_worker:
        _write(kind="finished", test=_local(nodeid))


def pytest_runtest_logreport(report: Any) -> None:
    if _is_worker or report.outcome == "rerun":
        return
    found = getattr(report, "coding_agent_error", None) or {}
    line = {"kind": "result", "test": _local(report.nodeid), "when": report.when, "outcome": report.outcome}
    if hasattr(report, "context"):
        line["is_subtest"] = True
    if report.failed and not found:
        found = {"error": "Failed", "message": str(report.longrepr)[-_MESSAGE_LIMIT:]}
    _write(**line, **(found if report.failed else {}))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    files = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            files[name] = os.path.realpath(file)
    _write(kind="modules", files=files, standard=os.path.realpath(sysconfig.get_paths()["stdlib"]))
