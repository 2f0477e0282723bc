"""An undefined name is imported from its one source, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.diagnosis import RuleDiagnosis
from coding_agent.records import RepairOutcome
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.workshop import assert_passes, make_bench, snapshot, write_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair

pytestmark = pytest.mark.usefixtures("_lean_pytest")

REPOSITORIES = {
    "flat, a module of the standard library": (
        {
            "notes.py": (
                '"""Notes on disk."""\n\n\ndef dump(note):\n    return json.dumps(note, sort_keys=True)\n'
            ),
            "test_notes.py": (
                "import notes\n\n\ndef test_dump():\n    assert notes.dump({'b': 1}) == '{\"b\": 1}'\n"
            ),
        },
        "notes.py",
        "import json\n",
    ),
    "src, as another file does it": (
        {
            "src/store/__init__.py": "",
            "src/store/names.py": (
                "from pathlib import Path\n\n\ndef stem(name):\n    return Path(name).stem\n"
            ),
            "src/store/sizes.py": (
                "from __future__ import annotations\n\nimport os\n\n\n"
                "def size(name: str) -> int:\n    return os.stat(Path(name)).st_size\n"
            ),
            "tests/test_sizes.py": (
                "from store.names import stem\nfrom store.sizes import size\n\n\n"
                "def test_size():\n    assert size(__file__) > 10\n    assert stem('a.b') == 'a'\n"
            ),
        },
        "src/store/sizes.py",
        "import os\nfrom pathlib import Path\n",
    ),
    "package, from its own definition, relatively": (
        {
            "geo/__init__.py": "",
            "geo/shapes/__init__.py": "",
            "geo/shapes/area.py": (
                "from . import units\n\n\ndef area(side):\n    return units.scale(square(side))\n"
            ),
            "geo/shapes/units.py": "def scale(value):\n    return value * 10\n",
            "geo/shapes/power.py": "def square(value):\n    return value * value\n",
            "tests/test_area.py": (
                "from geo.shapes.area import area\n\n\ndef test_area():\n    assert area(3) == 90\n"
            ),
        },
        "geo/shapes/area.py",
        "from . import units\nfrom .power import square\n",
    ),
    "package, joined to an import that is there": (
        {
            "queue_of/__init__.py": "",
            "queue_of/line.py": (
                "#!/usr/bin/env python\nfrom collections import (\n    OrderedDict,\n    defaultdict,\n)\n\n"
                "seen = defaultdict(int)\nby_name = OrderedDict()\n\n\ndef last(items, count):\n"
                "    return list(deque(items, maxlen=count))\n"
            ),
            "tests/test_line.py": (
                "from queue_of.line import last\n\n\n"
                "def test_last():\n    assert last('abc', 2) == ['b', 'c']\n"
            ),
        },
        "queue_of/line.py",
        "    OrderedDict,\n    defaultdict,\n    deque,\n)\n",
    ),
}


def find_undefined(bench: Workbench) -> Finding:
    return next(iter(bench.linter.check(select=("F821",))))


def run(root: Path, files: Mapping[str, str], facts: Mapping[str, str] | None = None) -> Repair:
    bench = make_bench(write_files(root / "work", files), has_tests=False)
    finding = find_undefined(bench)
    (skill,) = FolderLibrary(root / "skills").select(finding)
    return skill.run(replace(finding, data={**finding.data, **(facts or {})}), bench)


@pytest.mark.parametrize("files, path, expected", REPOSITORIES.values(), ids=REPOSITORIES)
def test_the_repaired_repository_passes_its_own_tests(
    tmp_path: Path, files: dict[str, str], path: str, expected: str
) -> None:
    """The name is imported where imports stand in that file, nothing else changes, and the tests pass."""
    bench = make_bench(write_files(tmp_path / "work", files))
    before = snapshot(tmp_path / "work")
    finding = find_undefined(bench)
    (skill,) = FolderLibrary(tmp_path / "skills").select(finding)

    repair = skill.run(finding, bench)

    assert (repair.outcome, repair.files_changed) == (RepairOutcome.SUCCEEDED, (path,)), repair.summary
    after = snapshot(tmp_path / "work")
    assert expected in after[path].decode()
    assert {name for name in after if after[name] != before.get(name)} == {path}
    assert_passes(bench, next(Path(name).stem for name in files if Path(name).name.startswith("test_")))


def test_a_name_error_of_a_test_is_treated_alike(tmp_path: Path) -> None:
    """What ruff cannot see (a star import hides it) the failing test tells."""
    files = {
        "base.py": "LIMIT = 3\n",
        "clock.py": "from base import *\n\n\ndef wait():\n    sleep(0)\n    return LIMIT\n",
        "test_clock.py": "import clock\n\n\ndef test_wait():\n    assert clock.wait() == 3\n",
    }
    bench = make_bench(write_files(tmp_path / "work", files))
    (finding,) = RuleDiagnosis(bench).test()

    skill = FolderLibrary(tmp_path / "skills").select(finding)[0]
    repair = skill.run(finding, bench)

    assert (finding.rule, finding.path, skill.name) == ("test/name-error", "clock.py", "missing_import")
    assert repair.outcome is RepairOutcome.SUCCEEDED
    assert_passes(bench, "test_clock")
    assert repair.parameters == {"name": "sleep", "module": "time", "attribute": "sleep"}


DECLINED = {
    "two standard modules": {"a.py": "p = Path('x')\n"},
    "two more": {"a.py": "c = Counter('aab')\n"},
    "two definitions": {"a.py": "x = rate(1)\n", "b.py": "def rate(n): ...\n", "c.py": "def rate(n): ...\n"},
    "a circle": {
        "a.py": "def low():\n    return high()\n",
        "b.py": "from a import low\n\n\ndef high():\n    return low\n",
    },
    "nowhere": {"a.py": "x = frobnicate(1)\n"},
}


@pytest.mark.parametrize("files", DECLINED.values(), ids=DECLINED)
def test_without_one_source_nothing_is_changed(tmp_path: Path, files: dict[str, str]) -> None:
    """Two sources, a circle or none: not applicable, no edit."""
    repair = run(tmp_path, files)

    assert repair.outcome is RepairOutcome.NOT_APPLICABLE
    assert snapshot(tmp_path / "work") == {name: text.encode() for name, text in files.items()}


USES = {
    "attributes": ("here = Path.cwd()\n", "from pathlib import Path\n"),
    "a module, not the class": ("now = datetime.datetime.now()\n", "import datetime\n"),
    "a class, not the module": ("now = datetime.now()\n", "from datetime import datetime\n"),
    "not awaited": ("sleep(1)\n", "from time import sleep\n"),
    "awaited": ("async def nap():\n    await sleep(1)\n", "from asyncio import sleep\n"),
    "subscripted": ("x: List[int] = []\n", "from typing import List\n"),
}


@pytest.mark.parametrize("code, expected", USES.values(), ids=USES)
def test_the_use_of_a_name_tells_its_source(tmp_path: Path, code: str, expected: str) -> None:
    """Of several modules with the name the one that fits its use is the source."""
    assert run(tmp_path, {"a.py": code}).outcome is RepairOutcome.SUCCEEDED
    assert (tmp_path / "work/a.py").read_text().startswith(expected)


def test_a_name_that_is_imported_already_is_left_alone(tmp_path: Path) -> None:
    """A finding may be older than the repair of another."""
    bench = make_bench(write_files(tmp_path / "work", {"a.py": "x = json.dumps(1)\n"}), has_tests=False)
    finding = find_undefined(bench)
    write_files(bench.root, {"a.py": "import json\n\nx = json.dumps(1)\n"})

    repair = FolderLibrary(tmp_path / "skills").get("missing_import").run(finding, bench)

    assert repair.outcome is RepairOutcome.NOT_APPLICABLE


def test_a_lesson_decides_between_two_sources(tmp_path: Path) -> None:
    """Told module and attribute, the skill takes them, provided that they are among the sources."""
    files = {"a.py": "p = Path('x')\n"}

    assert run(tmp_path, files, {"module": "pathlib", "attribute": "Path"}).outcome is RepairOutcome.SUCCEEDED
    assert (tmp_path / "work/a.py").read_text() == "from pathlib import Path\n\np = Path('x')\n"
    wrong = run(tmp_path, files, {"module": "nowhere", "attribute": "Path"})
    assert wrong.outcome is RepairOutcome.NOT_APPLICABLE
