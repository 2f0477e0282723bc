"""Builds the pinned programs from source into the cache.

A program is made in a scratch folder and moved to its place whole; of two builds at once one waits. Nothing
but what stack/modules/*.go.sum names gets in. Only sources are fetched, and only the caches are written.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .distribution import check_components, generate
from .errors import StackError
from .places import CACHE, SCRATCH
from .toolchain import Go, find_go
from .versions import MODULES, Pin, load_pins


def build(names: Sequence[str] = (), *, quiet: bool = False) -> None:
    """Build what is not in the cache yet, and tell where all is; without names: whatever has a module."""
    pins = [pin for name, pin in load_pins().items() if pin.module and (not names or name in names)]
    if not all(pin.is_built for pin in pins):
        go = find_go()
        CACHE.mkdir(parents=True, exist_ok=True)
        with _alone():
            _build_all(go, [pin for pin in pins if not pin.is_built])
    for pin in () if quiet else pins:
        _say(f"{pin.name} {pin.release}: {', '.join(str(pin.folder / binary) for binary in pin.packages)}")


def _build_all(go: Go, missing: Sequence[Pin]) -> None:
    total = _minutes(sum(pin.build_seconds for pin in missing))
    _say(f"building {len(missing)} programs with Go {go.version} into {CACHE}; about {total} on two cores")
    for number, pin in enumerate(missing, start=1):
        about = _minutes(pin.build_seconds)
        _say(f"({number} of {len(missing)}) building {pin.name} {pin.release}, about {about}")
        began = time.monotonic()
        _build_one(go, pin)
        _say(f"({number} of {len(missing)}) built {pin.name} in {time.monotonic() - began:.0f} s")


def _build_one(go: Go, pin: Pin) -> None:
    log = CACHE / f"{pin.name}.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=CACHE) as scratch:
        sources, made = Path(scratch) / "sources", Path(scratch) / "made"
        sources.mkdir()
        made.mkdir()
        _prepare(go, pin, sources, log)
        for binary, path in zip(pin.packages, pin.paths, strict=True):
            go.run(["build", *pin.build_flags, "-o", str(made / binary), path], sources, log)
        made.rename(pin.folder)


def _prepare(go: Go, pin: Pin, folder: Path, log: Path) -> None:
    """Put into a folder what `go build` needs there: the pins, and for the Collector its source."""
    if pin.name == "collector":
        check_components()
        generate(go, folder, log)
    elif f"{pin.module} {pin.version}\n" not in (MODULES / f"{pin.name}.go.mod").read_text():
        msg = (
            f"stack/modules/{pin.name}.go.mod does not require {pin.version}, the version of versions.toml; "
            f"call `python -m stack pin {pin.name}`"
        )
        raise StackError(msg)
    for kind in ("mod", "sum"):
        shutil.copyfile(MODULES / f"{pin.name}.go.{kind}", folder / f"go.{kind}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One build at a time, with the remains of broken ones removed."""
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another build works in {CACHE}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for remains in CACHE.glob(f"{SCRATCH}*"):
            shutil.rmtree(remains)
        yield


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _say(line: str) -> None:
    sys.stdout.write(f"stack: {line}\n")
    sys.stdout.flush()
