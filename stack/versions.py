"""The pins of `versions.toml`, and where in the cache a binary of each pin stands."""

from __future__ import annotations

import hashlib
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from .places import CACHE, ROOT, STACK


@dataclass(frozen=True, slots=True)
class Pin:
    """One program: the Go module that is built, and the image that docker compose pulls."""

    name: str
    release: str
    """What the program calls itself."""
    image: str
    tag: str
    licence: str
    """SPDX."""
    differs: str = ""
    """In what module and image differ, and why; empty: they do not."""
    module: str = ""
    """Empty: image only."""
    version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Packages of the module by the name of the binary."""
    tags: tuple[str, ...] = ()
    """Build tags of Go."""

    @property
    def folder(self) -> Path:
        """Where its binaries stand once they are built: named by all that they are made from."""
        return CACHE / f"{self.name}-{self.release}-{self._key()}"

    def _key(self) -> str:
        made_from = hashlib.sha256()
        settings = (self.module, self.version, sorted(self.packages.items()), self.tags, platform.machine())
        made_from.update(repr(settings).encode())
        for path in self.sources():
            made_from.update(path.read_bytes())
        return made_from.hexdigest()[:12]

    def sources(self) -> tuple[Path, ...]:
        """The files of this repository that the build reads."""
        if self.name == "collector":
            return (BUILDER, MODULES / "collector.go.sum")
        return (MODULES / f"{self.name}.go.mod", MODULES / f"{self.name}.go.sum")


BUILDER: Final = ROOT / "collector" / "builder.yaml"
MODULES: Final = STACK / "modules"


@cache
def load_pins() -> Mapping[str, Pin]:
    """All programs of versions.toml, by name."""
    entries = tomllib.loads((STACK / "versions.toml").read_text())
    return {
        name: Pin(name=name, **{**entry, "tags": tuple(entry.get("tags", ()))})
        for name, entry in entries.items()
    }


def find_built(pin: Pin, binary: str) -> Path | None:
    """The path of a binary in the cache; None when it was not built for this pin."""
    path = pin.folder / binary
    return path if path.exists() else None
