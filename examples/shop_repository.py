"""Make the demo's repository: a small package with a history of fixed dates and something left uncommitted.

The same input gives the same commit ids on every machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

SHOP = Path(__file__).resolve().parent / "shop"

_IDENTITY = {
    "GIT_COMMITTER_NAME": "Shop Example",
    "GIT_COMMITTER_EMAIL": "shop@example.invalid",
    "GIT_CONFIG_GLOBAL": os.devnull,  # a person's hooks, templates and signing keys stay out of it
    "GIT_CONFIG_NOSYSTEM": "1",
    "TZ": "UTC",
}


def make_shop(folder: Path, *, commits: int | None = None, wip: str | None = None) -> Path:
    """Make the repository in a new or empty folder and return it.

    `commits` takes only the oldest of the history; `wip` names the patch (without `.patch`) that is
    applied and left uncommitted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "-q", "-b", "main", ".")
    patches = sorted((SHOP / "history").glob("*.patch"))[:commits]
    _git(folder, "am", "-q", "--committer-date-is-author-date", *map(str, patches))
    if wip is not None:
        _git(folder, "apply", str(SHOP / f"{wip}.patch"))
    return folder


def _git(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, **_IDENTITY}
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wip", choices=sorted(path.stem for path in SHOP.glob("*.patch")))
    parser.add_argument("--commits", type=int)
    options = parser.parse_args()
    make_shop(options.folder, commits=options.commits, wip=options.wip)


if __name__ == "__main__":
    main()
