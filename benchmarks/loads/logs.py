"""Many log lines in a fresh process: by the standard library into a file, or through our pipeline.

    python -m benchmarks.loads.logs stdlib|taskscope|filtered LINES

`taskscope` writes JSON to a file and records to the store; `filtered` asks the same logger below its level.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ._answer import answer

if TYPE_CHECKING:
    from collections.abc import Callable

_PART = 500
_FLUSH_S = 30.0


def main() -> None:
    """Answer `main_us` and `process_us` per line, and how many bytes the file has."""
    mode, lines = sys.argv[1], int(sys.argv[2])
    home = Path(os.environ["AGENT_HOME"])
    write, flush, path = _prepare_stdlib(home) if mode == "stdlib" else _prepare_taskscope(home, mode)
    for number in range(_PART):
        write(number)
    flush()
    main_s, process_began = 0.0, time.process_time()
    for start in range(0, lines, _PART):
        began = time.thread_time()
        for number in range(start, min(start + _PART, lines)):
            write(number)
        main_s += time.thread_time() - began
        flush()
    process_s = time.process_time() - process_began
    size = path.stat().st_size if path.exists() else 0
    answer(main_us=main_s / lines * 1e6, process_us=process_s / lines * 1e6, file_bytes=size)


def _prepare_stdlib(home: Path) -> tuple[Callable[[int], None], Callable[[], object], Path]:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "stdlib.log"
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("bench")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def write(number: int) -> None:
        logger.info("read file path=%s size_bytes=%s mode=%s", f"src/orders_{number}.py", number, "full")

    return write, handler.flush, path


def _prepare_taskscope(home: Path, mode: str) -> tuple[Callable[[int], None], Callable[[], object], Path]:
    import structlog

    from taskscope.bootstrap import build_runtime
    from taskscope.config import load_settings

    settings = load_settings(home, {**os.environ, "LOG_LEVEL": "warning" if mode == "filtered" else "info"})
    runtime = build_runtime(settings)
    logger = structlog.get_logger("bench")

    def write(number: int) -> None:
        logger.info("read file", path=f"src/orders_{number}.py", size_bytes=number, mode="full")

    return write, lambda: runtime.recording.flush(_FLUSH_S), settings.log_path


if __name__ == "__main__":
    main()
