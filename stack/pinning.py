"""Writes go.mod and go.sum of a program anew after its version changed: for maintainers, who read the diff.

The checksums come from Go's checksum database. It does not know Tempo's commit, nor some modules that Tempo
needs: Tempo's own go.sum vouches for these, and for Tempo the line that stands in ours already (when that was
written, what the module proxy served was trusted).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from .distribution import OCB, generate_requirements
from .places import CACHE, SCRATCH
from .toolchain import Go, find_go
from .versions import MODULES, Pin, load_pins


def pin(name: str) -> None:
    """Write stack/modules/NAME.go.mod and .go.sum by versions.toml and, for the Collector, builder.yaml.

    Lines of `replace` and `exclude` stay as they are: Go ignores those of a dependency, and whoever changes a
    version copies them from the new go.mod of that program.
    """
    go = find_go()
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = load_pins()[name]
    if name == "collector":
        _pin(go, replace(wanted, name="ocb", module=OCB, packages={"ocb": ""}, tags=()))
    _pin(go, wanted)


def _pin(go: Go, wanted: Pin) -> None:
    log = CACHE / f"{wanted.name}.pin.log"
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=CACHE) as scratch:
        folder = Path(scratch) / "sources"
        folder.mkdir()
        _require(go, wanted, folder, log)
        # Loads each package of the program, and so puts down the checksum of each module that holds one.
        go.run(["list", "-deps", *wanted.build_tags, *wanted.paths], folder, log, mode="mod")
        for kind in ("mod", "sum"):
            shutil.copyfile(folder / f"go.{kind}", MODULES / f"{wanted.name}.go.{kind}")


def _require(go: Go, wanted: Pin, folder: Path, log: Path) -> None:
    if wanted.name == "collector":
        generate_requirements(go, folder, log)
        return
    shutil.copyfile(MODULES / f"{wanted.name}.go.mod", folder / "go.mod")
    go.run(["mod", "edit", f"-require={wanted.module}@{wanted.version}"], folder, log)
    if wanted.vouches:
        known = (MODULES / f"{wanted.name}.go.sum").read_text().splitlines(keepends=True)
        own = [line for line in known if line.startswith(f"{wanted.module} {wanted.version}")]
        (folder / "go.sum").write_text("".join(own))
        go.run(["mod", "download", wanted.module], folder, log, mode="mod")
        source = Path(go.read(["list", "-m", "-f", "{{.Dir}}", wanted.module], folder))
        (folder / "go.sum").write_text("".join(sorted({*own, *(source / "go.sum").open()})))
