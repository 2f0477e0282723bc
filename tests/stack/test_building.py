"""Builds by the real Go: of a small program, which a module proxy in a folder serves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stack import building, versions
from stack.errors import StackError
from stack.places import CACHE, ROOT, SCRATCH
from stack.versions import Pin

pytestmark = pytest.mark.skipif(
    shutil.which("go") is None, reason="`go` is not in PATH: `make stack` found all of its programs built"
)

MODULE, VERSION = "example.com/greeter", "v1.0.0"
PIN = Pin(
    name="greeter", release="1.0.0", licence="0BSD", module=MODULE, version=VERSION, packages={"greeter": ""}
)
GREETS = 'package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("hello\\n") }\n'
PATIENCE = 120.0
GOCACHE = os.environ.get("GOCACHE") or str(CACHE.parent.parent / "go-build")
"""The person's own: `make stack` has compiled the standard library there; each test has another home."""


class Workshop:
    """A cache, pins and a module proxy of its own, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.modules, self.proxy = folder / "cache", folder / "modules", folder / "proxy"

    def enter(self) -> None:
        """Have this process build here what there is to build."""
        for room in (building, versions):
            vars(room).update(CACHE=self.cache, MODULES=self.modules)
        vars(building).update(load_pins=lambda: {PIN.name: PIN})
        os.environ |= {"GOPROXY": self.proxy.as_uri(), "GONOSUMDB": MODULE}

    def serve(self, source: str) -> None:
        """Have the proxy serve a program with this source."""
        files = {"go.mod": f"module {MODULE}\n\ngo 1.26\n", "main.go": source}
        shelf = self.proxy / MODULE / "@v"
        shelf.mkdir(parents=True, exist_ok=True)
        (shelf / f"{VERSION}.info").write_text(f'{{"Version": "{VERSION}"}}')
        (shelf / f"{VERSION}.mod").write_text(files["go.mod"])
        with zipfile.ZipFile(shelf / f"{VERSION}.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(f"{MODULE}@{VERSION}/{name}"), text)

    def pin(self) -> None:
        """Put down the checksums of what the proxy serves."""
        self.modules.mkdir()
        (self.modules / "greeter.go.mod").write_text(
            f"module stack/greeter\n\ngo 1.26\n\nrequire {MODULE} {VERSION}\n"
        )
        (self.modules / "go.mod").symlink_to("greeter.go.mod")
        subprocess.run(["go", "mod", "download", MODULE], cwd=self.modules, check=True, timeout=PATIENCE)
        (self.modules / "go.sum").rename(self.modules / "greeter.go.sum")


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    for room in (building, versions):
        monkeypatch.setattr(room, "CACHE", None)  # put back after the test, as all that `enter` changes
        monkeypatch.setattr(room, "MODULES", None)
    monkeypatch.setattr(building, "load_pins", None)
    for name in ("GOPROXY", "GONOSUMDB"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("GOCACHE", GOCACHE)
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modcache"))  # tests clean it
    made.enter()
    made.serve(GREETS)
    made.pin()
    return made


def test_a_program_is_built_once(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """The first call builds and tells how long it took and where; the second only where; the binary runs."""
    building.build()
    first = capsys.readouterr().out
    building.build()
    second = capsys.readouterr().out
    binary = PIN.folder / "greeter"
    assert "built greeter in" in first
    assert second.splitlines() == first.splitlines()[-1:] == [f"stack: greeter 1.0.0: {binary}"]
    assert subprocess.run([binary], capture_output=True, check=True, timeout=PATIENCE).stdout == b"hello\n"


def test_a_module_that_was_changed_is_refused(workshop: Workshop) -> None:
    """Source that is not the one whose checksum was put down ends the build, and no binary is made."""
    subprocess.run(["go", "clean", "-modcache"], check=True, timeout=PATIENCE)
    workshop.serve(GREETS.replace("hello", "gotcha"))
    with pytest.raises(StackError, match=r"(?s)checksum mismatch.*SECURITY ERROR"):
        building.build()
    assert not PIN.is_built


def test_a_module_without_a_checksum_is_refused(workshop: Workshop) -> None:
    """What no line of go.sum names is not fetched on trust."""
    (workshop.modules / "greeter.go.sum").write_text("")
    with pytest.raises(StackError, match=r"missing go\.sum entry"):
        building.build()
    assert not PIN.is_built


def test_another_version_than_the_pinned_one_is_refused(workshop: Workshop) -> None:
    """A version that was changed in versions.toml alone says what to call."""
    mod = workshop.modules / "greeter.go.mod"
    mod.write_text(mod.read_text().replace(VERSION, "v0.9.0"))
    with pytest.raises(StackError, match=r"does not require v1\.0\.0.*python -m stack pin greeter"):
        building.build()


def test_source_that_does_not_compile_is_told_with_its_line(workshop: Workshop) -> None:
    """A failing build shows what Go said and where all of it stands."""
    subprocess.run(["go", "clean", "-modcache"], check=True, timeout=PATIENCE)
    workshop.serve("package main\n\nfunc main() { nothing() }\n")
    for left in ("go.mod", "greeter.go.mod"):
        (workshop.modules / left).unlink()
    (workshop.modules / "greeter.go.sum").unlink()
    workshop.modules.rmdir()
    workshop.pin()
    with pytest.raises(StackError, match=r"(?s)greeter\.log.*main\.go:3:15: undefined: nothing"):
        building.build()


def test_of_two_builds_at_once_one_waits(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """The second finds what the first has built, and says that it waited."""
    with ThreadPoolExecutor(2) as pool:
        for call in [pool.submit(building.build) for _ in range(2)]:
            call.result()
    said = capsys.readouterr().out
    assert said.count("built greeter in") == 1
    assert said.count("another build works in") == 1
    assert said.count(f"greeter 1.0.0: {PIN.folder}") == 2


def test_a_build_that_was_killed_leaves_no_half_binary(workshop: Workshop, tmp_path: Path) -> None:
    """After SIGKILL there is nothing at the binary's place; the next build makes it and clears the rest."""
    code = (
        "import sys; from pathlib import Path; from tests.stack.test_building import Workshop, building; "
        "Workshop(Path(sys.argv[1])).enter(); building.build()"
    )
    environment = {**os.environ, "GOCACHE": str(tmp_path / "empty")}  # so that it takes a while
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment, start_new_session=True
    ) as build:
        deadline = time.monotonic() + PATIENCE
        while not list(workshop.cache.glob(f"{SCRATCH}*/made")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(build.pid, signal.SIGKILL)
    assert list(workshop.cache.glob(f"{SCRATCH}*"))
    assert not PIN.folder.exists()
    building.build()
    assert PIN.folder.exists()
    assert not list(workshop.cache.glob(f"{SCRATCH}*"))
