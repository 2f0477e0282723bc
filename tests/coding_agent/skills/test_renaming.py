"""A name is changed at each place that means it, and at no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.skills.modules import ModuleMap
from coding_agent.skills.renaming import Owner, UnclearUseError, find_renames
from tests.coding_agent.skills.workshop import make_bench, write_files

if TYPE_CHECKING:
    from pathlib import Path

RATES = "def rate(x):\n    return x\n\n\nclass Table:\n    def rate(self):\n        return rate(1)\n"
# What uses the function shop.rates.rate, and what becomes of it.
USES = {
    "a module by its full name": ("import shop.rates\n\nx = shop.rates.rate(1)\n", "shop.rates.share(1)"),
    "a module by another name": ("import shop.rates as r\n\nx = r.rate(1)\n", "r.share(1)"),
    "a module from its package": ("from shop import rates\n\nx = rates.rate(1)\n", "rates.share(1)"),
    "the name itself": (
        "from shop.rates import rate\n\nx = map(rate, [])\n",
        "import share\n\nx = map(share, [])",
    ),
    "under another name": ("from shop.rates import rate as f\n\nx = f(1)\n", "import share as f\n\nx = f(1)"),
    "everything": ("from shop.rates import *\n\nx = rate(1)\n", "x = share(1)"),
    "behind letters of two bytes": ("from shop.rates import rate\n\nx = 'é', rate(1)\n", "x = 'é', share(1)"),
}


def make_map(root: Path, files: dict[str, str]) -> ModuleMap:
    files = {"shop/__init__.py": "", "shop/rates.py": RATES, **files}
    return ModuleMap(make_bench(write_files(root / "work", files), has_tests=False))


@pytest.mark.parametrize("code, expected", USES.values(), ids=USES)
def test_each_way_to_use_a_function_is_found(tmp_path: Path, code: str, expected: str) -> None:
    """However a file names the module or the function, its use is renamed along with the definition."""
    texts = find_renames(make_map(tmp_path, {"use.py": code}), Owner("shop/rates.py"), "rate", "share")

    assert expected in texts["use.py"]
    assert texts["shop/rates.py"] == RATES.replace("def rate(x)", "def share(x)").replace(
        "return rate", "return share"
    )


OTHERS = {
    "another module's": "from bank import rate\n\nx = rate(1)\n",
    "a keyword": "x = dict(rate=1)\n",
    "a word in a string": "x = 'rate'\n",
    "an attribute of a value": "def f(x):\n    return x.rate\n",
}


@pytest.mark.parametrize("code", OTHERS.values(), ids=OTHERS)
def test_what_only_has_the_same_name_is_left(tmp_path: Path, code: str) -> None:
    """The same word for another thing stays."""
    assert "use.py" not in find_renames(
        make_map(tmp_path, {"use.py": code}), Owner("shop/rates.py"), "rate", "share"
    )


def test_tests_are_never_edited(tmp_path: Path) -> None:
    """A test that names the function is the specification."""
    modules = make_map(
        tmp_path, {"tests/test_it.py": "from shop.rates import rate\n\n\ndef test_it():\n    rate(1)\n"}
    )

    assert set(find_renames(modules, Owner("shop/rates.py"), "rate", "share")) == {"shop/rates.py"}


def test_a_method_is_renamed_with_its_uses(tmp_path: Path) -> None:
    """Definition and attributes of that name, but no function."""
    files = {
        "shop/rates.py": "class Table:\n    async def fee(self):\n        return fee\n",
        "use.py": "def f(t):\n    return t.fee()\n",
    }

    texts = find_renames(make_map(tmp_path, files), Owner("shop/rates.py", "Table"), "fee", "cost")

    assert texts == {
        "shop/rates.py": "class Table:\n    async def cost(self):\n        return fee\n",
        "use.py": "def f(t):\n    return t.cost()\n",
    }


UNCLEAR = {
    "bound anew": (Owner("shop/rates.py"), "rate", "from shop.rates import rate\n\nrate = 3\n"),
    "a built-in method": (Owner("shop/rates.py", "Table"), "append", "x = [].append(1)\n"),
}


@pytest.mark.parametrize("owner, name, code", UNCLEAR.values(), ids=UNCLEAR)
def test_a_use_that_could_mean_something_else_is_refused(
    tmp_path: Path, owner: Owner, name: str, code: str
) -> None:
    """Better no renaming than a wrong one."""
    with pytest.raises(UnclearUseError):
        find_renames(make_map(tmp_path, {"use.py": code}), owner, name, "share")
