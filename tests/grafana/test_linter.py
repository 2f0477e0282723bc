"""The rules of Grafana's dashboard-linter, each by its name, held against the committed pages.

Not here: `target-promql-rule`, `target-logql-rule` and `template-label-promql-rule`, since the walk in
tests/stack has the real backends parse every query; `target-logql-auto-rule`, for no query counts log lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from taskscope.semconv.metrics import METRICS

from .pages import PAGES, SOURCES, expressions_of, panels_of, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_THE_PIPELINE: Final = re.compile(r'job=~?"(prometheus|tempo|loki|collector-agent|alertmanager)')
"""Programs of the pipeline itself are no choice of a person: their panels name them."""
WITHOUT_HOSTS: Final = ("taskscope-task",)
"""A page about one task, which its id names, whatever host it ran on."""

every_page = pytest.mark.parametrize("uid", PAGES)


def selectors_of(uid: str) -> Iterator[tuple[str, str]]:
    """Metric and matchers of each selector."""
    for expression in expressions_of(PAGES[uid]):
        yield from re.findall(r"([a-z]\w*)\{([^}]*)\}", expression)


@every_page
def test_uneditable_dashboard_rule(uid: str) -> None:
    """A page is changed in its code, not by hand."""
    assert PAGES[uid]["editable"] is False


@every_page
def test_template_job_and_instance_rule(uid: str) -> None:
    """Service and host can be chosen, several at once; all of them is `.+`."""
    variables = variables_of(PAGES[uid])
    names = ("job",) if uid in WITHOUT_HOSTS else ("job", "instance")
    keys = ("multi", "includeAll", "allValue")
    seen = {name: tuple(variables[name][key] for key in keys) for name in names}
    assert seen == dict.fromkeys(names, (True, True, ".+"))


@every_page
def test_template_on_time_change_reload_rule(uid: str) -> None:
    """Variables ask again when another time is chosen."""
    asked = [one for one in variables_of(PAGES[uid]).values() if one["type"] == "query"]
    assert {one["refresh"] for one in asked} == {2}


@every_page
def test_template_datasource_and_panel_datasource_rule(uid: str) -> None:
    """Instead of a variable: all that asks names a data source that is provisioned with the pages."""
    page = PAGES[uid]
    asked = [*panels_of(page), *(query for panel in panels_of(page) for query in panel["targets"])]
    asked += [one for one in variables_of(page).values() if one["type"] == "query"]
    wrong = [one for one in asked if one["datasource"]["type"] != SOURCES[one["datasource"]["uid"]]["type"]]
    assert wrong == []


@every_page
def test_panel_title_description_rule(uid: str) -> None:
    """Each panel has a title of its own on the page, and a description that says what a bad value means."""
    panels = list(panels_of(PAGES[uid]))
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert [panel["title"] for panel in panels if "\n\nBad: " not in panel["description"]] == []


@every_page
def test_panel_units_rule(uid: str) -> None:
    """Each panel says its unit, a number without one says `none`."""
    assert [p["title"] for p in panels_of(PAGES[uid]) if not p["fieldConfig"]["defaults"].get("unit")] == []


@every_page
def test_panel_no_targets_rule(uid: str) -> None:
    """Each panel asks something."""
    assert [panel["title"] for panel in panels_of(PAGES[uid]) if not panel["targets"]] == []


@every_page
def test_target_rate_interval_rule(uid: str) -> None:
    """A rate is over Grafana's own interval, which is never shorter than four sendings."""
    windows = {
        window for one in expressions_of(PAGES[uid]) for window in re.findall(r"rate\([^[]*\[([^\]]*)\]", one)
    }
    assert windows <= {"$__rate_interval"}


@every_page
def test_target_job_and_instance_rule(uid: str) -> None:
    """Each selector names the chosen services and hosts, or a program of the pipeline."""
    scope = 'job=~"$job", instance=~"$instance"'
    free = [f"{name}{{{given}}}" for name, given in selectors_of(uid) if scope not in given]
    assert [one for one in free if not OF_THE_PIPELINE.search(one)] == []


@every_page
def test_target_counter_agg_rule(uid: str) -> None:
    """A counter is shown by its growth: by `rate`, or exactly, as last value less the one before the window.

    The accounting of the Pipeline page is its one exception: there the totals themselves are the point.
    """
    counters = {metric.prometheus_name for metric in METRICS if metric.instrument == "counter"}
    bare = set()
    for expression in expressions_of(PAGES[uid]):
        grown = re.sub(r"\w+\(\w+\{[^}]*\}\[[^\]]*\]", "", expression)
        bare |= {name for name, _ in re.findall(r"([a-z]\w*)(\{[^}]*\})", grown)} & counters
    accounting = {f"taskscope_records_{what}_total" for what in ("emitted", "delivered", "dropped")}
    zeroes = {"taskscope_skill_executions_total"}  # times 0: which skills there are
    assert bare - (accounting if uid == "taskscope-pipeline" else zeroes) == set()


def test_a_broken_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A panel without description, unit, queries and right windows fails the rules that speak of these."""
    broken: dict[str, Any] = {
        "uid": "broken",
        "editable": True,
        "templating": {"list": []},
        "panels": [
            {
                "type": "stat",
                "title": "x",
                "description": "x",
                "fieldConfig": {"defaults": {}},
                "datasource": {"type": "prometheus", "uid": "tempo"},
                "targets": [
                    {
                        "expr": "rate(taskscope_task_active{}[5m]) > taskscope_step_retries_total{}",
                        "datasource": {"type": "prometheus", "uid": "prometheus"},
                    }
                ],
            }
        ],
    }
    monkeypatch.setitem(PAGES, "broken", broken)
    rules = (
        test_uneditable_dashboard_rule,
        test_template_datasource_and_panel_datasource_rule,
        test_panel_title_description_rule,
        test_panel_units_rule,
        test_target_rate_interval_rule,
        test_target_job_and_instance_rule,
        test_target_counter_agg_rule,
    )
    for rule in rules:
        with pytest.raises(AssertionError):
            rule("broken")
    broken["panels"][0]["targets"] = []
    with pytest.raises(AssertionError):
        test_panel_no_targets_rule("broken")
