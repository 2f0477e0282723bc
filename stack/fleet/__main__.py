"""`python -m stack.fleet`: fill a running stack (`make stack-up`) with real runs, and look on for a while."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stack.ports import HOST, load_ports

from .fleet import Fleet
from .host import FleetError
from .scenarios import SCENARIOS, STANDARD

if TYPE_CHECKING:
    from .runs import Run


def main() -> int:
    """Read the command line; 0 when every run ended as it was made to, 3 when nobody is there to send to."""
    options = _read_options()
    if not _listens(options.otlp):
        _say(f"fleet: nobody listens at {options.otlp}; start the stack first: make stack-up")
        return 3
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # services and tasks end with us
    folder = options.folder or Path(tempfile.mkdtemp(prefix="taskscope-fleet-"))
    chosen = [SCENARIOS[name] for name in options.only or SCENARIOS]
    began = time.monotonic()
    _say(f"fleet: {len(chosen)} scenarios on two hosts, sent to {options.otlp}; all is in {folder}")
    _say(_ROW.format("after", "scenario", "host", "outcome", "error", "tokens", "micro-USD", "trace"))
    try:
        with Fleet(folder, options.otlp, interval=options.interval) as fleet:
            fleet.serve()
            fleet.fall_ill()
            fleet.fill(chosen, copies=options.copies, tell=lambda run: _print_run(run, began))
            text = json.dumps(fleet.manifest(), indent=1)
            (folder / "manifest.json").write_text(text + "\n")
            _stay(options.stay, time.monotonic() - began)
    except FleetError as error:
        _say(f"fleet: {error}")
        return 1
    except KeyboardInterrupt:
        _say("fleet: cut short; services and tasks are ended")
        return 130
    wrong = sum(not run.is_as_expected for run in fleet.runs)
    end = f"{wrong} of them not as it was made to" if wrong else "all as they were made to"
    _say(f"fleet: {len(fleet.runs)} runs ended, {end}; they stand in {folder / 'manifest.json'}")
    return 1 if wrong else 0


_ROW = "{:>6}  {:<16} {:<5} {:<12} {:<20} {:>13} {:>10}  {}"


def _print_run(run: Run, began: float) -> None:
    seen = run.seen if run.task_id else run.expected
    tokens = "" if seen.input_tokens is None else f"{seen.input_tokens} + {seen.output_tokens}"
    cost = "" if seen.micro_usd is None else str(seen.micro_usd)
    if seen.cost_status == "unknown":
        cost = "unknown"
    after = f"{time.monotonic() - began:.0f} s"
    _say(
        _ROW.format(
            after, run.scenario, run.host, seen.outcome, seen.error_type or "", tokens, cost, run.trace_id
        )
    )
    if not run.is_as_expected:
        _say(f"        expected {run.expected}\n        seen     {run.seen}")


def _stay(seconds: float, took: float) -> None:
    """Leave services and the stuck task open for a while, so that there is something to look at."""
    _say(f"fleet: all done after {took:.0f} s; services and the stuck task stay {seconds:.0f} s (or Ctrl-C)")
    threading.Event().wait(seconds)


def _listens(url: str) -> bool:
    """Whether somebody takes connections at the address of a URL."""
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname or HOST, address.port or 80), timeout=2):
            return True
    except OSError:
        return False


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stack.fleet", description=__doc__)
    agent = f"http://{HOST}:{load_ports()['agent']['otlp_http']}"
    scenarios = "\n".join(f"  {one.name:<16} {one.purpose}" for one in STANDARD)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"scenarios:\n{scenarios}"
    parser.add_argument(
        "--otlp", default=agent, help=f"where an OTLP/HTTP receiver listens; {agent} by default"
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="SCENARIO", help="these alone")
    parser.add_argument("--copies", type=int, default=1, help="how often each is done")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two sendings of metrics")
    parser.add_argument("--stay", type=float, default=60.0, help="seconds that services stay afterwards")
    parser.add_argument("--folder", type=Path, help="a new folder; a temporary one by default")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
