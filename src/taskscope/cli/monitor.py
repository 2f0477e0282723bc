"""`monitor`: `serve`, and each health check printed as it runs; log lines go to the file alone."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from .health import tell_check
from .reading import read_settings
from .serve import load_serve
from .terminal import open_screen
from .wording import describe_time

if TYPE_CHECKING:
    from taskscope.health.report import CheckReport


def monitor_until_stopped() -> int:
    """Serve and print; exit code 130 after Ctrl-C, 0 after SIGTERM."""
    settings = read_settings()
    screen = open_screen()

    def print_check(check: CheckReport) -> None:
        moment = describe_time(check.time_ns or time.time_ns())
        with contextlib.suppress(OSError):  # nobody reads any more: the service goes on
            screen.say(f"{screen.paint.quiet(moment)}  {tell_check(check, screen)}")

    return load_serve()(settings, logs_to_stdout=False, on_check=print_check)
