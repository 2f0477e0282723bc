"""Makes `.venv` for `make`: checks the machine, installs the pinned requirements and the project itself.

Called by the Makefile with a Python that is known to be new enough; standard library only. Says nothing when
there is nothing to do. What to install stands in requirements/, not here.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = VENV / "setup.log"
SUPERSETS = {"demo": ("demo", "dev"), "dev": ("dev",)}
"""Which installed sets serve for which wish: dev.txt holds all of demo.txt, in the same versions."""


def main() -> int:
    """Set up the wanted set of packages; 0 when it stands, 1 with one line on stderr when it cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=sorted(SUPERSETS))
    parser.add_argument("--chosen", action="store_true", help="the person named this Python: insist on it")
    options = parser.parse_args()
    try:
        _check_machine()
        with (ROOT / ".venv.lock").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)  # of two calls at once the second waits, then finds it done
            _set_up(options.set, insist=options.chosen)
    except _SetupError as error:
        _say(str(error))
        return 1
    return 0


class _SetupError(Exception):
    """Why the virtual environment cannot be made, in one line that says what to do."""


def _check_machine() -> None:
    """Refuse a machine that lacks git, venv or ensurepip before anything is written."""
    if shutil.which("git") is None:
        msg = "git is missing, and the agent works on git repositories; install it (Debian: apt install git)."
        raise _SetupError(msg)
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        msg = (
            f"{sys.executable} cannot make a virtual environment with pip: no {' and no '.join(missing)}; "
            "install it (Debian: apt install python3-venv)."
        )
        raise _SetupError(msg)


def _set_up(wanted: str, *, insist: bool) -> None:
    if not _is_made():
        _say(f"making .venv with Python {sys.version.split()[0]}")
        _make_venv()
        _stamp("place", str(ROOT))
    elif insist:
        _insist_on_version()
    if not any(_is_stamped(name, _requirements_hash(name)) for name in SUPERSETS[wanted]):
        _say(f"installing requirements/{wanted}.txt (the first time takes a minute or two)")
        # The pins are the whole set. Left to resolve, pip takes the newest coverage for a `coverage[toml]`
        # that is pinned without its extra, and refuses it for want of a hash: old pins would rot.
        pins = f"requirements/{wanted}.txt"
        _run_pip(f"install {pins}", "install", "--require-hashes", "--no-deps", "-r", pins)
        _run_pip(f"find in {pins} all that its packages need", "check")
        _stamp(wanted, _requirements_hash(wanted))
    if not _is_stamped("project", _project_hash()):
        _run_pip("install this project", "install", "--no-build-isolation", "--no-deps", "-e", ".")
        _stamp("project", _project_hash())


def _is_made() -> bool:
    """Whether `.venv` is whole: not half made, not moved (scripts name their place), its Python not gone."""
    return (VENV / "bin" / "python").exists() and _is_stamped("place", str(ROOT))


def _make_venv() -> None:
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
    if made.returncode:
        msg = f"{sys.executable} -m venv failed: {(made.stdout + made.stderr).strip()}"
        raise _SetupError(msg)


def _insist_on_version() -> None:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([VENV / "bin/python", "-c", script], capture_output=True, text=True, check=True)
    found, wanted = answer.stdout.strip(), f"{sys.version_info[0]}.{sys.version_info[1]}"
    if found != wanted:
        msg = f".venv has Python {found}, and PYTHON is {wanted}; call `make clean` first."
        raise _SetupError(msg)


def _run_pip(purpose: str, *arguments: str) -> None:
    """Call the pip of `.venv`; its output goes to a file, and is shown only when it fails."""
    pip = [str(VENV / "bin/python"), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    environment = {**os.environ, "PIP_USER": "0", "PIP_PROGRESS_BAR": "off"}
    environment.pop("PYTHONPATH", None)  # a foreign package there would hide what has to be installed
    with LOG.open("w") as log:
        done = subprocess.run([*pip, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log)
    if done.returncode:
        sys.stderr.write("".join(LOG.read_text(errors="replace").splitlines(keepends=True)[-15:]))
        msg = f"pip failed to {purpose}; above are the last lines of {LOG.relative_to(ROOT)}."
        raise _SetupError(msg)


def _requirements_hash(name: str) -> str:
    return hashlib.sha256((ROOT / "requirements" / f"{name}.txt").read_bytes()).hexdigest()


def _project_hash() -> str:
    """Names what an editable install depends on: metadata and build settings, not those of the linters."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = (settings["build-system"], settings["project"], settings["tool"]["hatch"])
    return hashlib.sha256(repr(installed).encode()).hexdigest()


def _is_stamped(name: str, value: str) -> bool:
    stamp = VENV / f".{name}.stamp"
    return stamp.exists() and stamp.read_text() == value


def _stamp(name: str, value: str) -> None:
    (VENV / f".{name}.stamp").write_text(value)


def _say(line: str) -> None:
    sys.stderr.write(f"setup: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
