"""Acting when a library is loaded, without loading it."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> list[str]:
    """Run a program in a fresh interpreter and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_action_waits_for_the_import() -> None:
    """Nothing is loaded for it; it runs once, when the module is complete, and the finder is gone after."""
    program = """
import sys
from taskscope.recorder._onimport import on_import
before = list(sys.meta_path)
on_import("structlog", lambda: print(hasattr(sys.modules["structlog"], "get_logger")))
print("structlog" in sys.modules)
import structlog, structlog.stdlib, importlib
importlib.reload(structlog)
print(sys.meta_path == before)
"""
    assert run(program) == ["False", "True", "True"]


def test_a_module_that_is_loaded_is_acted_on_at_once() -> None:
    """Who came late is not forgotten."""
    program = """
import json
from taskscope.recorder._onimport import on_import
on_import("json", lambda: print("now"))
print("after")
"""
    assert run(program) == ["now", "after"]


def test_the_last_action_counts_and_can_be_taken_back() -> None:
    """A second call replaces the first; `forget` leaves nothing behind; other modules are not touched."""
    program = """
import sys
from taskscope.recorder._onimport import forget, on_import
on_import("structlog", lambda: print("first"))
on_import("structlog", lambda: print("second"))
on_import("colorsys", lambda: print("never"))
forget("colorsys")
import colorsys, structlog
"""
    assert run(program) == ["second"]


def test_a_module_that_does_not_exist_is_as_missing_as_ever() -> None:
    """The watcher finds nothing that Python would not find."""
    program = """
from taskscope.recorder._onimport import on_import
on_import("no_such_module_anywhere", lambda: print("never"))
try:
    import no_such_module_anywhere
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(program) == ["no_such_module_anywhere"]
