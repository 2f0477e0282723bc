"""An import stands where the file's own order puts it."""

from __future__ import annotations

import pytest

from coding_agent.skills.imports import add_import
from coding_agent.skills.modules import Source

OS, PATH, SHOP = Source("os"), Source("pathlib", "Path"), Source("shop.cart", "Cart")
# Source, text before, text after.
PLACES = {
    "empty file": (OS, "", "import os\n"),
    "before code": (OS, "x = os.sep\n", "import os\n\nx = os.sep\n"),
    "before a function": (OS, "def f():\n    pass\n", "import os\n\n\ndef f():\n    pass\n"),
    "below the docstring": (OS, '"""Doc."""\n\nx = 1\n', '"""Doc."""\n\nimport os\n\nx = 1\n'),
    "docstring and code": (OS, '"""Doc."""\nx = 1\n', '"""Doc."""\n\nimport os\n\nx = 1\n'),
    "docstring alone": (OS, '"""Doc."""', '"""Doc."""\n\nimport os\n'),
    "below comments": (
        OS,
        "#!/bin/python\n# Ours.\n\nx = 1\n",
        "#!/bin/python\n# Ours.\n\nimport os\n\nx = 1\n",
    ),
    "after the future": (
        OS,
        "from __future__ import annotations\n\nx = 1\n",
        "from __future__ import annotations\n\nimport os\n\nx = 1\n",
    ),
    "in order": (OS, "import abc\nimport sys\n", "import abc\nimport os\nimport sys\n"),
    "from after import": (
        PATH,
        "import abc\nimport sys\n",
        "import abc\nimport sys\nfrom pathlib import Path\n",
    ),
    "first group": (OS, "import numpy\n", "import os\n\nimport numpy\n"),
    "own group": (SHOP, "import os\n", "import os\n\nfrom shop.cart import Cart\n"),
    "joined": (PATH, "from pathlib import PurePath\n", "from pathlib import Path, PurePath\n"),
    "joined in brackets": (
        PATH,
        "from pathlib import (PurePath)\n",
        "from pathlib import (Path, PurePath)\n",
    ),
    "joined line by line": (
        PATH,
        "from pathlib import (\n    PosixPath,\n    PurePath,\n)\n",
        "from pathlib import (\n    Path,\n    PosixPath,\n    PurePath,\n)\n",
    ),
    "unsorted names": (PATH, "from pathlib import b, a\n", "from pathlib import b, a, Path\n"),
    "a comment is kept": (
        PATH,
        "from pathlib import PurePath  # noqa\n",
        "from pathlib import PurePath  # noqa\nfrom pathlib import Path\n",
    ),
    "not into a block": (
        OS,
        "if True:\n    import sys\n",
        "import os\n\nif True:\n    import sys\n",
    ),
}


@pytest.mark.parametrize("source, before, after", PLACES.values(), ids=PLACES)
def test_an_import_finds_its_place(source: Source, before: str, after: str) -> None:
    """Below docstring and `__future__`, in its group and order, or joined to its module's import."""
    name = source.attribute or source.module
    assert add_import(before, source, name, own={"shop"}) == after


def test_a_relative_style_is_followed() -> None:
    """A file that imports its neighbours relatively goes on so; others stay absolute."""
    source = Source("shop.cart", "Cart")

    relative = add_import("from .stock import Stock\n", source, "Cart", own={"shop"}, package="shop")
    absolute = add_import("from shop.stock import Stock\n", source, "Cart", own={"shop"}, package="shop")

    assert relative == "from .stock import Stock\nfrom .cart import Cart\n" or relative.startswith(
        "from .cart"
    )
    assert absolute == "from shop.cart import Cart\nfrom shop.stock import Stock\n"


def test_another_name_is_bound_with_as() -> None:
    """`np` comes from numpy as the repository has it."""
    assert add_import("", Source("numpy"), "np") == "import numpy as np\n"


def test_a_text_that_cannot_be_parsed_is_returned_as_it_is() -> None:
    """No place is guessed in a broken file."""
    assert add_import("def f(:\n", OS, "os") == "def f(:\n"
