"""`python -m grafana.build [--check]`: write all that Grafana and Prometheus load, or look for drift."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from grafana.mixin.alerts.prometheus import render_rules
from grafana.mixin.alerts.provisioning import render_provisioning
from grafana.mixin.dashboards import PAGES
from grafana.mixin.documentation import render_documentation
from grafana.mixin.rendering import render_page
from grafana.mixin.sources import render_provider, render_sources

ROOT: Final = Path(__file__).resolve().parent
GENERATED: Final[tuple[tuple[str, Callable[[], str]], ...]] = (
    ("generated/prometheus/taskscope.yaml", render_rules),
    ("provisioning/alerting/taskscope.yaml", render_provisioning),
    ("provisioning/datasources/taskscope.yaml", render_sources),
    ("provisioning/dashboards/taskscope.yaml", render_provider),
    *((f"provisioning/dashboards/taskscope/{page.uid}.json", partial(render_page, page)) for page in PAGES),
    ("../docs/dashboards.md", render_documentation),
)
"""Path below this folder, and what makes its text."""


def find_drift() -> list[str]:
    """The files whose text is not what the code makes."""
    return [name for name, render in GENERATED if _read(ROOT / name) != render()]


def write_all() -> None:
    """Write every file."""
    for name, render in GENERATED:
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(), encoding="utf-8")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main() -> int:
    """Do what the arguments say; 1 when something is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m grafana.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 on drift")
    if not parser.parse_args().check:
        write_all()
        return 0
    drift = find_drift()
    for name in drift:
        print(f"grafana/{name} is not what the code makes: run python -m grafana.build", file=sys.stderr)
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())
