"""What the pages refer to is there, and what is nothing is not shown as 0."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from grafana.build import ROOT
from grafana.mixin.alerts import build_groups
from grafana.mixin.config import CONFIG, RUNBOOK
from grafana.mixin.dashboards import PAGES as DECLARED
from grafana.mixin.rendering import TAG

from .pages import PAGES, PROVISIONING, SOURCES, panels_of, variables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES_OF_PAGES: Final = sorted((ROOT / "mixin" / "dashboards").glob("*.py"))
GRAFANA: Final = re.compile(r"\$\{__[^}]*\}|\$__\w+")
"""What Grafana fills in itself."""

every_page = pytest.mark.parametrize("uid", PAGES)


def texts_of(value: Any) -> list[str]:
    """All texts inside a part of a page."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in texts_of(one)]


@every_page
def test_variables_exist(uid: str) -> None:
    """Each variable that a query or title speaks of stands above the page."""
    page = PAGES[uid]
    asked = [query.get("expr") or query["query"] for panel in panels_of(page) for query in panel["targets"]]
    asked += [str(variable["query"]) for variable in page["templating"]["list"]]
    used = {name for text in asked for name in re.findall(r"\$(\w+)", GRAFANA.sub("", text))}
    assert used <= set(variables_of(page))


@every_page
def test_every_variable_narrows_something(uid: str) -> None:
    """No variable stands above a page without effect on it."""
    page = PAGES[uid]
    text = "\n".join(texts_of([[panel["targets"] for panel in panels_of(page)], page["templating"]["list"]]))
    assert [name for name in variables_of(page) if not re.search(rf"\${name}\b", text)] == []


@every_page
def test_links_lead_somewhere(uid: str) -> None:
    """Links name a page that exists, set its variables, read only their own; those by tag find the pages."""
    page = PAGES[uid]
    (bar,) = page["links"]
    assert bar["tags"] == [TAG]
    assert {TAG} == {tag for other in PAGES.values() for tag in other["tags"]}
    for url in (text for text in texts_of(page["panels"]) if text.startswith("/d/")):
        target, query = url.removeprefix("/d/").split("?", 1)
        assert set(re.findall(r"var-(\w+)=", query)) <= set(variables_of(PAGES[target]))
        assert set(re.findall(r"\$(\w+)", query)) <= set(variables_of(page))


def test_links_are_found() -> None:
    """Both tables of tasks lead to the page of one task."""
    urls = [text for text in texts_of(PAGES["taskscope-fleet"]["panels"]) if text.startswith("/d/")]
    assert len(urls) == 2
    assert all(url.startswith("/d/taskscope-task?var-task=") for url in urls)


@every_page
def test_links_find_their_columns(uid: str) -> None:
    """A link hangs on a column that is shown, and the fields that it reads are not removed."""
    for panel in (one for one in panels_of(PAGES[uid]) if one["type"] == "table"):
        (organized,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in organized["renameByName"]
            fields = re.findall(r'__data\.fields(?:\.(\w+)|\["([^"]+)"\])', " ".join(texts_of(override)))
            read = {plain or quoted for plain, quoted in fields}
            assert not read & set(organized["excludeByName"])


@every_page
def test_panels_do_not_overlap(uid: str) -> None:
    """Each panel has its own place on the grid of 24 columns."""
    places = [panel["gridPos"] for panel in PAGES[uid]["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert [pair for pair in combinations(places, 2) if _overlap(*pair)] == []


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    def apart(start: str, size: str) -> bool:
        return one[start] + one[size] <= other[start] or other[start] + other[size] <= one[start]

    return not apart("x", "w") and not apart("y", "h")


@every_page
def test_ids_are_unique(uid: str) -> None:
    """No two panels have one id, by which Grafana's URLs name them."""
    ids = [panel["id"] for panel in PAGES[uid]["panels"]]
    assert len(set(ids)) == len(ids)


@every_page
def test_nothing_is_said_in_words(uid: str) -> None:
    """Where there is nothing to show, words stand, not a 0."""
    words = [panel["fieldConfig"]["defaults"]["noValue"] for panel in panels_of(PAGES[uid])]
    assert [word for word in words if not re.match(r"[A-Za-z]", word)] == []


def test_thresholds_are_those_of_the_alerts() -> None:
    """A red line stands where the alert fires: both read the same number."""
    (silence,) = (p for page in DECLARED for p in page.panels if p.title == "Longest silence")
    (alert,) = (
        one for group in build_groups(CONFIG) for one in group.alerts if one.name == "TaskscopeTaskSilent"
    )
    assert [step.value for step in silence.steps] == [alert.limit]


@pytest.mark.parametrize("path", SOURCES_OF_PAGES, ids=lambda path: path.stem)
def test_thresholds_are_those_of_the_config(path: Path) -> None:
    """No panel has a threshold of its own: all stand in one file, with their reasons."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    steps = [ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "Step"]
    assert [value for value in steps if not re.fullmatch(r"CONFIG\.\w+\.\w+", value)] == []


def test_no_mark_is_forgotten() -> None:
    """Each mark of the config colours a panel: another number makes another page."""
    read = "".join(path.read_text() for path in SOURCES_OF_PAGES)
    assert [own.name for own in fields(CONFIG.marks) if f"CONFIG.marks.{own.name}" not in read] == []


@every_page
def test_lines_have_names(uid: str) -> None:
    """Each line of a chart and each bar of a timeline is named by its labels, or by a word where it is alone.

    Grafana's own choice of a name, `__auto`, is all labels.
    """
    drawn = [panel for panel in panels_of(PAGES[uid]) if panel["type"] in {"timeseries", "state-timeline"}]
    lines = [(panel["title"], query) for panel in drawn for query in panel["targets"] if "expr" in query]
    assert [title for title, query in lines if query["legendFormat"] == "__auto"] == []


@every_page
def test_pages_and_rows_carry_their_questions(uid: str) -> None:
    """A page's description and the title of each row are questions; no panel stands outside of a row."""
    page = PAGES[uid]
    rows = [panel["title"] for panel in page["panels"] if panel["type"] == "row"]
    assert page["panels"][0]["type"] == "row"
    assert [text for text in (page["description"], *rows) if not text.endswith("?")] == []


@every_page
def test_no_query_is_asked_twice(uid: str) -> None:
    """Two panels of one kind on one page do not ask the same: they would say the same twice."""
    asked = [
        (panel["type"], query.get("expr") or query["query"])
        for panel in panels_of(PAGES[uid])
        for query in panel["targets"]
    ]
    assert [one for one, count in Counter(asked).items() if count > 1] == []


def test_alerts_that_panels_name_exist() -> None:
    """Each alert that a panel names exists and has its section in the runbook; each alert has its panel."""
    alerts = {alert.name for group in build_groups(CONFIG) for alert in group.alerts}
    named = {name for page in DECLARED for panel in page.panels for name in panel.alerts}
    assert alerts - named == {"TaskscopeWatchdog"}  # it fires always: there is nothing to look at
    assert named <= alerts
    runbook = (ROOT.parent / RUNBOOK).read_text(encoding="utf-8")
    sections = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", runbook, re.MULTILINE)}
    anchors = {
        anchor
        for page in PAGES.values()
        for text in texts_of(page["panels"])
        for anchor in re.findall(rf"{re.escape(RUNBOOK)}#(\w+)", text)
    }
    assert anchors
    assert anchors <= sections


def test_schema_is_what_grafana_13_loads_from_files() -> None:
    """Pages are v1 with schema 42: the pin of the SDK holds, and files of v2 fail in Grafana 13.0."""
    assert {page["schemaVersion"] for page in PAGES.values()} == {42}


def test_files_are_named_by_their_pages() -> None:
    """A page's file has the page's uid as its name, so that a link can be followed in the repository."""
    names = {path.stem for path in (PROVISIONING / "dashboards" / "taskscope").glob("*.json")}
    assert names == set(PAGES)
    assert ROOT.name == "grafana"


def test_sources_know_each_other() -> None:
    """Each data source that another leads to exists: to traces, to lines, to metrics."""
    found = re.findall(r"'datasourceUid': '(\w+)'", str(SOURCES))
    assert sorted(found) == ["loki", "prometheus", "tempo", "tempo"]
    assert set(found) <= set(SOURCES)


def test_dollars_are_escaped() -> None:
    """Provisioning reads `$x` as a variable of the environment: only addresses are; all else is `$$`."""
    text = (PROVISIONING / "datasources" / "taskscope.yaml").read_text()
    single = re.findall(r"(?<!\$)\$(?!\$)(\w+|\{)", text)
    assert sorted(single) == [f"TASKSCOPE_{name}_URL" for name in ("LOKI", "PROMETHEUS", "TEMPO")]
