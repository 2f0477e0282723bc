"""docs/dashboards.md, from the same objects as the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana.mixin.dashboards import PAGES

if TYPE_CHECKING:
    from grafana.mixin.panels import Page, Panel

_HEAD: Final = """\
# Dashboards

<!-- Made by grafana/mixin/documentation.py: python -m grafana.build -->

Grafana's pages, data sources and alerts are code: `grafana/mixin/` says what is shown, with names from
`taskscope.semconv` and thresholds from `grafana/mixin/config.py`; `make dashboards` writes
`grafana/provisioning/`, which docker compose hands to Grafana. A change by hand fails a test.

- Each page answers the question below its title, each row the one in its heading.
- Above each page stand variables; "All" is the default. A host is named by the id of its store, which
  Prometheus calls `instance`. Other senders are counted by the gateway.
- What is empty says so ("no LLM calls"); a 0 is a number that was counted.
- Numbers of the chosen time are exact; lines over time are averages of the last four minutes at least, since
  a host sends each minute.
- Dots on lines of Fleet, rows of tables and the trace ids of log lines lead to traces; a span leads to its
  log lines.
- Tables from Tempo know the traces that were kept; metrics count all, whatever is sampled.

What is proven: `make test-stack` puts every query of every panel and variable to real backends that a fleet
of real runs filled (`tests/stack/test_dashboards.py`). **Not yet run:** Grafana itself. Its server cannot be
built here; a job of the GitHub workflow starts it and asks its API.
"""


def render_documentation() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *map(_describe, PAGES)))


def _describe(page: Page) -> str:
    lines = [f"## {page.title.removeprefix('Taskscope / ')}", "", f"*{page.question}*", ""]
    shown = [variable for variable in page.variables if not variable.is_hidden]
    lines += [f"Variables: {', '.join(variable.label for variable in shown)}.", ""]
    for row in page.rows:
        lines += [f"### {row.question}", "", "| panel | what it shows | what is bad |", "|---|---|---|"]
        lines += map(_line, row.panels)
        lines.append("")
    return "\n".join(lines)


def _line(panel: Panel) -> str:
    alerts = ", ".join(f"[{name}](runbook.md#{name.lower()})" for name in panel.alerts)
    bad = f"{panel.bad} {alerts}".strip()
    return f"| {panel.title} | {panel.description} | {bad} |".replace("\n", " ")
