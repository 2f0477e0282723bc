"""The repositories that the fleet works on: each has one fault, or none that a rule could mend."""

from __future__ import annotations

from typing import Final

_TEST: Final = "from water import boils\n\n\ndef test_boils():\n    assert boils(100)\n"

COLON: Final = {"water.py": "def boils(celsius)\n    return celsius >= 100\n", "test_water.py": _TEST}
"""A missing colon: the rules mend it, and so does a model that chooses the skill."""
IMPORT: Final = {
    "report.py": "def tell(facts):\n    return json.dumps(facts)\n",
    "test_report.py": "from report import tell\n\n\ndef test_tell():\n    assert tell([1]) == '[1]'\n",
}
"""A missing import: once mended and verified, it is learned."""
UNTESTED: Final = {"water.py": COLON["water.py"]}
"""Nothing there could verify the repair."""
WISH: Final = {
    "water.py": "def boils(celsius):\n    return celsius >= 100\n",
    "test_water.py": "from water import freezes\n\n\ndef test_freezes():\n    assert freezes(-5, salt=0.2)\n",
}
"""A test of what nobody has written."""
WRONG: Final = {"water.py": "def boils(celsius):\n    return celsius >= 200\n", "test_water.py": _TEST}
"""A wrong number, which no rule can know."""
SLOW: Final = {
    "water.py": "import time\n\n\ndef boils(celsius):\n    time.sleep(3600)\n    return celsius >= 100\n",
    "test_water.py": _TEST,
}
"""Tests that take an hour and say nothing meanwhile."""
LARGE: Final = {
    **COLON,
    **{
        f"scale_{number}.py": "".join(
            f'def convert_{number}_{line}(celsius: float) -> float:\n    """Degrees on scale {number}."""\n'
            f"    return celsius * {number + 1} + {line}\n\n\n"
            for line in range(20)
        )
        for number in range(12)
    },
}
"""Enough code that a search has something to choose from."""
