"""ruff on the work tree: our binary, the target's configuration and the target's Python version."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sysconfig
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coding_agent.errors import ToolFailedError, ToolMissingError
from coding_agent.records import Command, CommandResult, Fact, Finding

from . import process
from .interpreter import find_target_minor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Limits

    from .files import FilesTool

_BROKEN = 2
"""ruff's exit code when it could not do its work."""
_NAMED = re.compile(r"`([^`]+)`")
_NAMING_RULES = frozenset({"F401", "F811", "F821", "F822", "F823", "F841"})
_FIXES = {"safe": "safe", "unsafe": "unsafe"}


class RuffTool:
    """The linter of one work tree; `python` is the target's interpreter, which is read, not run."""

    def __init__(
        self, root: Path, *, python: Path, files: FilesTool, limits: Limits, timeout: float = 300.0
    ) -> None:
        self._root = root
        self._python = python
        self._files = files
        self._limits = limits
        self._timeout = timeout

    def check(self, *paths: str, select: Sequence[str] = ()) -> Sequence[Finding]:
        """Return what ruff reports, `ruff/CODE` each, with `data["fix"]` safe, unsafe or none.

        `data["name"]` is the name that the rule speaks of, where it speaks of one (F401, F821, ...). Syntax
        errors are left to the compiler. Raises ToolMissingError without ruff, ToolFailedError when it cannot
        work (say with a broken configuration).
        """
        with tempfile.TemporaryDirectory(prefix="ruff-") as folder:
            report = Path(folder, "report.json")
            self._run(
                "--exit-zero", "--output-format=json", f"--output-file={report}", paths=paths, select=select
            )
            items = json.loads(report.read_bytes()) if report.exists() else []
        root = self._root.resolve()
        return [_finding(root, item) for item in items if _is_lint(item)]

    def fix(self, *paths: str, select: Sequence[str] = ()) -> Sequence[str]:
        """Apply the safe fixes of the selected rules; return the files changed.

        Raises as `check` does, and as `FilesTool.refuse_protected` before anything is written.
        """
        findings = self.check(*paths, select=select)
        fixable = sorted({found.path for found in findings if found.path and found.data["fix"] == "safe"})
        if not fixable:
            return []
        self._files.refuse_protected(*fixable)
        before = [self._digest(path) for path in fixable]
        self._run("--fix-only", "--exit-zero", "--quiet", paths=fixable, select=select)
        return [path for path, old in zip(fixable, before, strict=True) if self._digest(path) != old]

    def _run(self, *options: str, paths: Sequence[str], select: Sequence[str]) -> CommandResult:
        chosen = (f"--select={','.join(select)}",) if select else ()
        argv = (
            *(str(find_ruff()), "check", "--no-cache", "--force-exclude", "--no-unsafe-fixes"),
            *(*options, *chosen, *self._target_version(), "--", *(paths or (".",))),
        )
        result = process.run_process(
            Command(argv=argv), root=self._root, limits=self._limits, timeout=self._timeout
        )
        if result.exit_code is None or result.exit_code < 0 or result.exit_code >= _BROKEN:
            message = f"ruff failed with exit code {result.exit_code}: {result.stderr.strip()}"
            raise ToolFailedError(message)
        return result

    def _target_version(self) -> tuple[str, ...]:
        """Without requires-python ruff assumes 3.10 and would write syntax that the target cannot read."""
        if _has_own_target(self._root):
            return ()
        return (f"--target-version=py3{find_target_minor(self._root, self._python)}",)

    def _digest(self, path: str) -> bytes:
        return hashlib.sha256((self._root / path).read_bytes()).digest()


def find_ruff() -> Path:
    """Return our own ruff, else the one on PATH; raise ToolMissingError without one."""
    own = Path(sysconfig.get_path("scripts"), "ruff")
    if own.is_file():
        return own
    if found := shutil.which("ruff"):
        return Path(found)
    raise ToolMissingError("ruff is not installed", hint="python -m pip install ruff")


def _has_own_target(root: Path) -> bool:
    """Whether the target's configuration names a version itself: then that one counts."""
    for name, table in ((".ruff.toml", ()), ("ruff.toml", ()), ("pyproject.toml", ("tool", "ruff"))):
        try:
            settings: Any = tomllib.loads((root / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for key in table:
            settings = settings.get(key, {})
        if "target-version" in settings:
            return True
    return False


def _is_lint(item: dict[str, Any]) -> bool:
    return item.get("code") not in (None, "invalid-syntax", "syntax-error", "E999", "E902")


def _finding(root: Path, item: dict[str, Any]) -> Finding:
    code, message = str(item["code"]), str(item["message"])
    fix = item.get("fix") or {}
    data: dict[str, Fact] = {"fix": _FIXES.get(str(fix.get("applicability")), "none")}
    if code in _NAMING_RULES and (named := _NAMED.search(message)):
        data["name"] = named.group(1)
    path = Path(item["filename"])
    return Finding(
        rule=f"ruff/{code}",
        message=message,
        path=path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix(),
        line=item["location"]["row"],
        column=item["location"]["column"],
        data=data,
    )
