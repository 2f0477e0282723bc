"""The pins agree with each other, and name what they stand for."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from stack import distribution, versions
from stack.distribution import OCB
from stack.errors import StackError
from stack.places import STACK
from stack.versions import BUILDER, MODULES, Pin, load_pins

if TYPE_CHECKING:
    from pathlib import Path

BUILT = [pin for pin in load_pins().values() if pin.module]


@pytest.mark.parametrize("pin", BUILT, ids=lambda pin: pin.name)
def test_go_builds_the_version_of_the_versions_file(pin: Pin) -> None:
    """The go.mod of a program requires the version that versions.toml names."""
    is_made_by_ocb = pin.name == "collector"
    required = f"{OCB if is_made_by_ocb else pin.module} {pin.version}"
    assert f"require {required}" in _read_mod("ocb" if is_made_by_ocb else pin.name).splitlines()


def test_each_component_of_the_collector_is_pinned() -> None:
    """What builder.yaml names stands in the go.mod of the Collector in the same version."""
    settings = yaml.safe_load(BUILDER.read_text())
    wanted = {entry["gomod"] for kind in settings.values() if isinstance(kind, list) for entry in kind}
    assert wanted <= {line.strip() for line in _read_mod("collector").splitlines()}


def test_the_collector_says_the_release_of_the_versions_file() -> None:
    """builder.yaml, which stamps the binary, and versions.toml name one release."""
    assert yaml.safe_load(BUILDER.read_text())["dist"]["version"] == load_pins()["collector"].release


@pytest.mark.parametrize("pin", load_pins().values(), ids=lambda pin: pin.name)
def test_a_difference_between_module_and_image_is_explained(pin: Pin) -> None:
    """A program whose image is of another release than its module says why; each names licence and image."""
    assert pin.licence
    assert pin.image
    assert pin.tag
    assert pin.differs or pin.tag.removeprefix("v") == pin.release


def test_the_readme_names_each_program_with_release_and_licence() -> None:
    """The table of stack/README.md is that of versions.toml."""
    rows = [row.split("|") for row in (STACK / "README.md").read_text().splitlines() if row.startswith("| `")]
    told = {row[1].strip().strip("`"): [cell.strip() for cell in row[2:5]] for row in rows}
    for pin in load_pins().values():
        assert told[pin.name] == [pin.release, f"`{pin.image}:{pin.tag}`", pin.licence]


def test_a_changed_pin_has_another_place() -> None:
    """A binary is never taken for that of another version, of other build tags or of another stamp."""
    pin = load_pins()["prometheus"]
    changed = [replace(pin, version="v9"), replace(pin, tags=()), replace(pin, stamp="x")]
    assert len({pin.folder, *(one.folder for one in changed)}) == len(changed) + 1


def test_another_image_needs_no_new_build() -> None:
    """What only docker compose reads does not change where a binary stands."""
    pin = load_pins()["prometheus"]
    assert replace(pin, tag="v9", differs="x", build_seconds=1.0).folder == pin.folder


@pytest.mark.parametrize("file", ["collector.go.sum", "ocb.go.mod"])
def test_a_changed_checksum_has_another_place(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line more in a file of the pins makes another folder in the cache."""
    shutil.copytree(MODULES, tmp_path / "modules")
    before = load_pins()["collector"].folder
    monkeypatch.setattr(versions, "MODULES", tmp_path / "modules")
    assert load_pins()["collector"].folder == before
    with (tmp_path / "modules" / file).open("a") as changed:
        changed.write("\n")
    assert load_pins()["collector"].folder != before


def test_an_image_has_one_tag() -> None:
    """No two entries of the versions file pull one image in two versions."""
    entries = tomllib.loads((STACK / "versions.toml").read_text()).values()
    assert len({entry["image"] for entry in entries}) == len(entries)


def test_a_component_that_is_not_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version in builder.yaml that the pins do not know names itself and the way to pin it."""
    changed = tmp_path / "builder.yaml"
    changed.write_text(BUILDER.read_text().replace("batchprocessor v0.155.0", "batchprocessor v0.156.0"))
    monkeypatch.setattr(distribution, "BUILDER", changed)
    with pytest.raises(StackError, match=r"batchprocessor v0\.156\.0.*python -m stack pin collector"):
        distribution.check_components()


def _read_mod(name: str) -> str:
    return (MODULES / f"{name}.go.mod").read_text()
