"""Starts a Collector by hand: checked first, then in the place of this process, with its id and its signals.

`python -m collector.start taskscope-collector --config=FILE ...`. Where other hosts would get in without a
certificate and a token it is not started: a line for each such listener, and exit code 78 (EX_CONFIG).
"""

from __future__ import annotations

import argparse
import os
import sys

from .exposure import UnreadableError, find_exposed


def main() -> int:
    """Become the Collector of the command line, or say why not."""
    parser = argparse.ArgumentParser(prog="python -m collector.start", description=__doc__)
    parser.add_argument("program", help="the Collector, such as taskscope-collector")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args()
    command = [options.program, *options.arguments]
    try:
        refusals = [f"refused: {sentence}" for sentence in find_exposed(command, os.environ)]
        if not refusals:
            os.execvp(command[0], command)  # noqa: S606 - it is what the caller asked for
    except (OSError, UnreadableError) as error:
        refusals = [f"{command[0]} cannot be started: {error}"]
    for line in refusals:
        sys.stderr.write(f"collector: {line}\n")
    return os.EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
