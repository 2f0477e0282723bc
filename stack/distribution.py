"""The source of our Collector: written by ocb, upstream's builder, from collector/builder.yaml."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from .errors import StackError
from .places import SCRATCH
from .toolchain import Go, run
from .versions import BUILDER, MODULES

OCB: Final = "go.opentelemetry.io/collector/cmd/builder"
"""The module of the builder, of the same version as the Collector."""
_COMPONENT: Final = re.compile(r"^\s*- gomod: (\S+ \S+)", re.MULTILINE)
"""A component in builder.yaml: module and version."""


def generate(go: Go, folder: Path, log: Path) -> None:
    """Write the source into a folder, but for go.mod and go.sum.

    ocb fetches no modules: it would end in `go mod tidy`, which asks for modules that only tests need, and
    the module proxy does not serve all of those.
    """
    _write(go, folder, log, "--skip-compilation", "--skip-get-modules")


def generate_requirements(go: Go, folder: Path, log: Path) -> None:
    """Write the source and a go.mod that names the components and nothing that these need in turn."""
    try:
        _write(go, folder, log, "--skip-compilation")
    except StackError:
        if not (folder / "go.mod").exists():  # it failed before the last step, which is `go mod tidy`
            raise


def check_components() -> None:
    """Refuse a component that the pins do not name in this version: Go would take the pinned one unasked."""
    pinned = (MODULES / "collector.go.mod").read_text()
    for component in _COMPONENT.findall(BUILDER.read_text()):
        if f"\t{component}\n" not in pinned:
            msg = f"stack/modules/collector.go.mod lacks {component!r}; call `python -m stack pin collector`"
            raise StackError(msg)


def _write(go: Go, folder: Path, log: Path, *skips: str) -> None:
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder.parent) as scratch:
        place = Path(scratch)
        for kind in ("mod", "sum"):
            shutil.copyfile(MODULES / f"ocb.go.{kind}", place / f"go.{kind}")
        # -trimpath as for the programs: Go's cache then holds the standard library once for all of them.
        go.run(["build", "-trimpath", "-o", str(place / "ocb"), OCB], place, log)
        settings = BUILDER.read_text().replace("output_path: ./build", f"output_path: {folder}")
        (place / "builder.yaml").write_text(settings)
        run([str(place / "ocb"), "--config", "builder.yaml", *skips], place, log)
