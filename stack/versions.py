"""The pins of `versions.toml`, how each is built, and where in the cache its binaries stand."""

from __future__ import annotations

import hashlib
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from .places import CACHE, ROOT, STACK

BUILDER: Final = ROOT / "collector" / "builder.yaml"
MODULES: Final = STACK / "modules"


@dataclass(frozen=True, slots=True)
class Pin:
    """One program: the Go module that is built, and the image that docker compose pulls."""

    name: str
    release: str
    """What the program calls itself."""
    licence: str
    """SPDX."""
    image: str = ""
    tag: str = ""
    differs: str = ""
    """In what module and image differ, and why; empty: in nothing."""
    module: str = ""
    """Empty: image only."""
    version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Packages of the module by the name of the binary."""
    tags: Sequence[str] = ()
    """Build tags of Go."""
    stamp: str = ""
    """The variable that holds what the program calls itself; empty: its source says it."""
    vouches: bool = False
    """Whether the module's own go.sum stands for modules that Go's checksum database does not know."""
    build_seconds: float = 0.0
    """From nothing, on two cores."""

    @property
    def paths(self) -> list[str]:
        """What `go build` is told to build, in the order of `packages`."""
        if self.name == "collector":
            return ["."]
        return [f"{self.module}/{package}".rstrip("/") for package in self.packages.values()]

    @property
    def build_tags(self) -> list[str]:
        """The arguments of Go that choose among source files."""
        return ["-tags", ",".join(self.tags)] if self.tags else []

    @property
    def build_flags(self) -> list[str]:
        """The arguments of `go build`: small, and the same bytes wherever it runs."""
        stamp = f" -X {self.stamp}={self.release}" if self.stamp else ""
        return ["-trimpath", *self.build_tags, f"-ldflags=-s -w{stamp}"]

    @property
    def folder(self) -> Path:
        """Where its binaries stand once they are built, named by all that they are made from."""
        return CACHE / f"{self.name}-{self.release}-{self._key()}"

    @property
    def is_built(self) -> bool:
        """Whether its binaries are in the cache: all of them, for the folder is moved there whole."""
        return self.folder.is_dir()

    def _key(self) -> str:
        settings = (self.module, self.version, self.paths, self.build_flags, platform.machine())
        made_from = hashlib.sha256(repr(settings).encode())
        for path in self._sources():
            made_from.update(path.read_bytes())
        return made_from.hexdigest()[:12]

    def _sources(self) -> list[Path]:
        """The files of this repository that it is made from."""
        modules = ["ocb", "collector"] if self.name == "collector" else [self.name]
        files = [MODULES / f"{name}.go.{kind}" for name in modules for kind in ("mod", "sum")]
        return [BUILDER, *files] if self.name == "collector" else files


@cache
def load_pins() -> Mapping[str, Pin]:
    """All programs of versions.toml, by name."""
    entries = tomllib.loads((STACK / "versions.toml").read_text())
    return {name: Pin(name=name, **entry) for name, entry in entries.items()}
