"""A script for the target's own Python: writes from which files the modules given as arguments would come.

For test commands that are not pytest, where no plugin looks on. Python >= 3.8, standard library only.
"""

# ruff: noqa: INP001, PTH123 - a folder for scripts that run elsewhere; os.path as in the plugin beside it

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig


def find_files(names: list[str]) -> dict[str, str]:
    """Return module name to real path, for those that are found; a package above is imported on the way."""
    files = {}
    for name in names:
        try:
            spec = importlib.util.find_spec(name)
        except Exception:  # noqa: BLE001, S112 - a broken package above: the test command will say so
            continue
        if spec is not None and spec.origin is not None:
            files[name] = os.path.realpath(spec.origin)
    return files


if __name__ == "__main__":
    standard = os.path.realpath(sysconfig.get_paths()["stdlib"])
    line = {"kind": "modules", "files": find_files(sys.argv[1:]), "standard": standard}
    with open(os.environ["CODING_AGENT_RESULTS"], "w", encoding="ascii") as stream:
        stream.write(json.dumps(line) + "\n")
