"""Writes stack/rendered/: what Prometheus and Alertmanager read in containers, as they expand no variables.

From the same templates as the native stack, with the services of docker-compose.yml for hosts:
`python -m stack.containers [--check]`. All other programs expand what docker-compose.yml gives them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .places import STACK
from .ports import Ports, load_ports
from .rendering import render

RENDERED: Final = STACK / "rendered"
_HEAD: Final = "# Made from stack/{name} for docker compose: python -m stack.containers\n"
_TEMPLATES: Final = ("prometheus.yaml", "alertmanager.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or say which are not as they would be written."""
    parser = argparse.ArgumentParser(prog="python -m stack.containers", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file differs")
    is_check = parser.parse_args(arguments).check
    files = build_files(load_ports())
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if is_check:
        for path in stale:
            print(f"{path} is not what its template says; call python -m stack.containers", file=sys.stderr)
        return 1 if stale else 0
    RENDERED.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(files[path])
    return 0


def build_files(ports: Ports) -> dict[Path, str]:
    """The text of each file."""
    environment = build_addresses(ports)
    return {
        RENDERED / name: _HEAD.format(name=name) + render((STACK / name).read_text(), environment)
        for name in _TEMPLATES
    }


def build_addresses(ports: Ports) -> Mapping[str, str]:
    """Where each program is for the other containers, by the variables of the templates."""
    return {
        "TASKSCOPE_ALERTMANAGER": f"alertmanager:{ports['alertmanager']['http']}",
        "TASKSCOPE_PROMETHEUS": f"prometheus:{ports['prometheus']['http']}",
        "TASKSCOPE_TEMPO": f"tempo:{ports['tempo']['http']}",
        "TASKSCOPE_LOKI": f"loki:{ports['loki']['http']}",
        "TASKSCOPE_AGENT_METRICS_HOST": "agent",
        "TASKSCOPE_AGENT_METRICS_PORT": str(ports["agent"]["metrics"]),
        "TASKSCOPE_GATEWAY_METRICS_HOST": "gateway",
        "TASKSCOPE_GATEWAY_METRICS_PORT": str(ports["gateway"]["metrics"]),
        "TASKSCOPE_GATEWAY_DERIVED": f"gateway:{ports['gateway']['derived']}",
    }


if __name__ == "__main__":
    sys.exit(main())
