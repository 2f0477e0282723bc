"""The set-up of the virtual environment: what it refuses, and that it is silent when it stands."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the house without a virtual environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def link_tools(house: Path, **more: str) -> Path:
    """A folder for PATH with make and its shell; and with more programs, each by the name it has there."""
    tools = house / "bin"
    tools.mkdir()
    for name, program in {"make": shutil.which("make"), "sh": shutil.which("sh"), **more}.items():
        (tools / name).symlink_to(str(program))
    return tools


def call_make(house: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call make as a person does, not as a part of the make that may be running this test."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=house,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def make_python(folder: Path, name: str, script: str) -> Path:
    """A program that answers as the Python in question would."""
    python = folder / name
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def refusal_of(made: subprocess.CompletedProcess[str]) -> str:
    """The one line of ours, without what make itself says about the failed target."""
    assert made.returncode != 0, made.stdout
    ours = [line for line in made.stderr.splitlines() if not line.startswith("make")]
    assert len(ours) == 1, made.stderr
    return ours[0]


def test_old_python_is_refused_in_one_line(house: Path) -> None:
    """A PYTHON below 3.11 is refused by name, before anything is written."""
    old = make_python(house, "old-python", "exit 1")
    assert refusal_of(call_make(house, "setup", f"PYTHON={old}")) == (
        f"setup: PYTHON={old} is missing or older than 3.11; name a newer one."
    )
    assert not (house / ".venv").exists()


def test_no_new_python_on_path_is_refused_in_one_line(house: Path) -> None:
    """Where no Python on PATH is new enough, the line says which version is wanted and how to name one."""
    tools = link_tools(house)
    make_python(tools, "python3", "exit 1")
    assert refusal_of(call_make(house, "setup", PATH=str(tools))) == (
        "setup: no Python >= 3.11 on PATH; install one, or call make PYTHON=/path/to/python3."
    )


def test_missing_git_is_refused_by_name(house: Path) -> None:
    """Without git on PATH the set-up stops and names the package."""
    tools = link_tools(house)
    line = refusal_of(call_make(house, "setup", f"PYTHON={sys.executable}", PATH=str(tools)))
    assert line.startswith("setup: git is missing")
    assert "apt install git" in line


def test_missing_ensurepip_is_refused_by_package(house: Path) -> None:
    """A Python whose ensurepip is packed apart (Debian) is refused with the name of the package."""
    (house / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'ensurepip' else find(name, *rest)\n"
    )
    made = call_make(house, "setup", f"PYTHON={sys.executable}", PYTHONPATH=str(house))
    assert "no ensurepip; install it (Debian: apt install python3-venv)" in refusal_of(made)
    assert not (house / ".venv").exists()


def make_wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """Write a wheel that holds only its metadata; returns its pin with hash."""
    about, record = f"{name}-{version}.dist-info", f"{name}-{version}.dist-info/RECORD"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: toml\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{about}/METADATA", head + "".join(f"Requires-Dist: {need}\n" for need in needs))
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(record, f"{about}/METADATA,,\n{about}/WHEEL,,\n{record},,\n")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def fill_registry(house: Path) -> tuple[str, str]:
    """A package and one that it needs, which has a newer release: the pins of the first and of the second."""
    folder = house / "registry"
    folder.mkdir()
    measured = make_wheel(folder, "measured", "1.0")
    make_wheel(folder, "measured", "2.0")
    return make_wheel(folder, "plugin", "1.0", "measured[toml]>=1"), measured


def set_up_from_registry(house: Path, pins: str) -> subprocess.CompletedProcess[str]:
    """Set up from wheels alone. PATH has what that needs and no more: pip asks a Rust for its version."""
    (house / "requirements" / "demo.txt").write_text(pins)
    registry = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house / "registry")}
    return call_make(house, "setup-demo", PATH=str(house / "bin"), **registry)


def claim_project(house: Path) -> None:
    """Let the project itself count as installed: what builds it is not in that virtual environment."""
    ask = [sys.executable, "-c", "import setup; print(setup._project_hash(), end='')"]
    told = subprocess.run(ask, cwd=house / "tools", capture_output=True, text=True, check=True).stdout
    (house / ".venv" / ".project.stamp").write_text(told)


def test_the_pins_are_installed_and_nothing_else(house: Path) -> None:
    """The pinned versions are installed though a newer one has appeared, also where an extra of it is asked
    for; what the pins lack is named instead of fetched. When pip fails, its last words and the place of them
    all are shown, and the next call tries again; when all stands, it is silent.

    One scene, since a virtual environment takes seconds.
    """
    link_tools(house, git=str(shutil.which("git")), python3=str(Path(sys.executable).resolve()))
    plugin, measured = fill_registry(house)
    (wheel,) = (house / "registry").glob("plugin-*")
    held = wheel.rename(house / wheel.name)
    made = set_up_from_registry(house, plugin)
    assert made.returncode != 0
    assert "No matching distribution found for plugin==1.0" in made.stderr
    assert "setup: pip failed to install requirements/demo.txt" in made.stderr
    assert ".venv/setup.log" in made.stderr

    held.rename(wheel)
    made = set_up_from_registry(house, plugin)
    assert made.returncode != 0
    assert "setup: pip failed to find in requirements/demo.txt all that its packages need" in made.stderr
    assert "plugin 1.0 requires measured, which is not installed" in made.stderr

    claim_project(house)
    made = set_up_from_registry(house, plugin + measured)
    assert made.returncode == 0, made.stderr
    places = (house / ".venv" / "lib").glob("python*/site-packages")
    installed = {(one.name, one.version) for one in metadata.distributions(path=list(map(str, places)))}
    assert {("plugin", "1.0"), ("measured", "1.0")} <= installed
    assert set_up_from_registry(house, plugin + measured).stderr == ""


def test_help_names_every_target(house: Path) -> None:
    """`make` without a target lists every target that the Makefile declares as a command."""
    declared = next(
        block
        for block in (house / "Makefile").read_text().replace("\\\n", " ").splitlines()
        if ".PHONY" in block
    )
    listed = {line.split()[1] for line in call_make(house).stdout.splitlines()}
    assert listed == set(declared.removeprefix(".PHONY:").split())
