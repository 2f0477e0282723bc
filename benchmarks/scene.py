"""Where a benchmark takes place: a folder, an environment without the person's settings, and how much of it.

Repositories for the agent are made here too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .measurement import time_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .measurement import Sample

_T = TypeVar("_T")
ROOT = Path(__file__).resolve().parent.parent
_SETTINGS = ("OTEL_", "TASKSCOPE_", "AGENT_", "LOG_", "METRICS_", "OPENAI_", "ANTHROPIC_", "GIT_", "PYTHON")
_IDENTITY = ("-c", "user.name=Bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgSign=false")


class Effort(Enum):
    """How often things are repeated."""

    FULL = "full"
    """For the page: all within eight minutes."""
    QUICK = "quick"
    """For a look: within one minute; the intervals are wide."""
    TINY = "tiny"
    """For a test that everything runs; the numbers mean nothing."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A folder to work in and the effort that is wanted."""

    folder: Path
    effort: Effort

    def pick(self, full: _T, quick: _T, tiny: _T) -> _T:
        """Return the count that belongs to the effort."""
        return {Effort.FULL: full, Effort.QUICK: quick, Effort.TINY: tiny}[self.effort]

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Return the environment of a fresh machine with this Taskscope home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        kept |= {"HOME": str(self.folder), "AGENT_HOME": str(home), "TASKSCOPE_HOME": str(home)}
        # A target has pytest and few plugins; those of our own development would cost seconds in each run.
        return kept | {"GIT_CONFIG_NOSYSTEM": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | more

    def time_load(self, load: str, *arguments: object, environment: Mapping[str, str]) -> Sample:
        """Run one of `loads/` and return what it took and answered."""
        command = [sys.executable, "-m", f"benchmarks.loads.{load}", *map(str, arguments)]
        return time_process(command, environment=environment, folder=ROOT)

    def make_repository(self, name: str, *, modules: int, tests: int) -> Path:
        """Make a git repository of small modules with tests, the first module without one of its colons."""
        folder = self.folder / name
        (folder / "tests").mkdir(parents=True)
        for number in range(modules):
            (folder / f"part_{number}.py").write_text(_module_text(number))
        for number in range(modules):
            cases = range(number, tests, modules)
            (folder / "tests" / f"test_part_{number}.py").write_text(_tests_text(number, cases))
        git(folder, "init", "--quiet", "--initial-branch=main")
        broken = folder / "part_0.py"
        whole = broken.read_text()
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "all parts work")
        broken.write_text(whole.replace("def weigh_0(items):", "def weigh_0(items)"))
        git(folder, "commit", "--quiet", "--all", "--message", "tidy part 0")
        return folder


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, without the person's configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", str(folder), *_IDENTITY, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _module_text(number: int) -> str:
    return f'''"""Part {number} of a made-up package."""


def weigh_{number}(items):
    """Return the sum of the items' weights, {number} for an empty list."""
    total = {number}
    for item in items:
        total += item
    return total


def name_{number}(word):
    """Return the word with the part's number."""
    return f"{{word}}-{number}"
'''


def _tests_text(number: int, cases: range) -> str:
    head = f"from part_{number} import name_{number}, weigh_{number}\n"
    body = [
        f"\n\ndef test_case_{case}():\n"
        f"    assert weigh_{number}([{case}, 1]) == {number + case + 1}\n"
        f'    assert name_{number}("w{case}") == "w{case}-{number}"\n'
        for case in cases
    ]
    return head + "".join(body)
