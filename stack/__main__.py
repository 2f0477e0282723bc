"""`python -m stack`: what the targets `stack*` of the Makefile call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence

from .building import build
from .commands import down, logs, status, up
from .errors import StackError
from .pinning import pin
from .programs import PROGRAMS
from .versions import load_pins


def main() -> int:
    """Do what the command line says; 1 with one line on stderr when that cannot be done."""
    options = vars(_build_parser().parse_args())
    call, known = options.pop("call"), options.pop("known")
    try:
        _check_names(options.get("names", ()), known)
        call(**options)
    except StackError as error:
        sys.stderr.write(f"stack: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stack: interrupted\n")
        return 130
    return 0


def _check_names(names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            msg = f"there is no program {name!r}; there are {', '.join(known)}"
            raise StackError(msg)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    built = [name for name, entry in load_pins().items() if entry.module]
    for call, purpose, names in (
        (build, "build what is not in the cache yet", built),
        (up, "start the programs and wait until they are ready", list(PROGRAMS)),
        (down, "end what `up` started", list(PROGRAMS)),
        (status, "what runs, where", list(PROGRAMS)),
        (logs, "what the programs wrote last", list(PROGRAMS)),
    ):
        command = commands.add_parser(call.__name__, help=purpose)
        command.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
        command.set_defaults(call=call, known=names)
        if call is build:
            command.add_argument("--quiet", action="store_true", help="tell nothing of what is there")
        if call is up:
            command.add_argument("--overlay", help="of collector/overlays: laptop, scale")
        if call is logs:
            command.add_argument("--lines", type=int, default=20)
    command = commands.add_parser("pin", help="write a program's go.mod and go.sum anew")
    command.add_argument("name", choices=built)
    command.set_defaults(call=pin, known=built)
    return parser


if __name__ == "__main__":
    sys.exit(main())
