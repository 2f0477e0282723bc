"""The rules as committed, with their real windows, in Prometheus' own test runner."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from grafana.mixin.alerts import build_groups
from grafana.mixin.alerts.prometheus import render_rules
from grafana.mixin.config import CONFIG, Config
from stack.programs import find_binary

from .rule_cases import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RULES = Path(__file__).parents[2] / "grafana" / "generated" / "prometheus" / "taskscope.yaml"
ALERTS = tuple(alert for group in build_groups(CONFIG) for alert in group.alerts)
ALWAYS_FIRES = "TaskscopeWatchdog"


def run_cases(rules: str, cases: Iterable[Case], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run each case with the group of its alert alone, which is all that it needs."""
    groups = {
        rule.get("alert"): group for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]
    }
    paths = [write_case(groups[case.alert], case, folder, str(number)) for number, case in enumerate(cases)]
    command = [str(find_binary("promtool")), "test", "rules", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_case(group: dict[str, Any], case: Case, folder: Path, name: str) -> Path:
    interval = "5m" if case.is_of_days else group["interval"]
    rules = {"groups": [group | {"interval": interval}]}
    (folder / f"rules-{name}.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    document = {
        "rule_files": [f"rules-{name}.yaml"],
        "evaluation_interval": interval,
        "tests": [write_test(case)],
    }
    path = folder / f"case-{name}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def write_test(case: Case) -> dict[str, Any]:
    return {
        "name": f"{case.alert}: {case.law}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [write_state(case.alert, time, things) for time, things in case.states.items()],
    }


def write_state(alert: str, time: str, things: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Ask by the labels that the things are told by; without any, whether something fires at all."""
    things = list(things)
    by = ", ".join(things[0]) if things else ""
    return {
        "expr": f'count by ({by}) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
        "eval_time": time,
        "exp_samples": [
            {"labels": f"{{{', '.join(f'{key}={value!r}' for key, value in thing.items())}}}", "value": 1}
            for thing in things
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.law}")
def test_the_rules_do_what_each_case_says(case: Case, tmp_path: Path) -> None:
    """At each time of a case exactly the things that it names fire."""
    done = run_cases(RULES.read_text(encoding="utf-8"), [case], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_cases_that_fire_and_resolve() -> None:
    """Every alert is seen quiet, firing and quiet again in one case; the watchdog is never quiet."""
    cycled = set()
    for case in CASES:
        fires = [bool(things) for things in case.states.values()]
        if True in fires and not fires[0] and not fires[-1]:
            cycled.add(case.alert)
    assert {alert.name for alert in ALERTS} - cycled == {ALWAYS_FIRES}


def change_limit(name: str, factor: float) -> Config:
    """A whole number by one, a share or a time by a tenth."""
    value = getattr(CONFIG.limits, name)
    step = 1 if isinstance(value, int) else value * 0.1
    changed = dataclasses.replace(CONFIG.limits, **{name: value + step * factor})
    return dataclasses.replace(CONFIG, limits=changed)


def change_window(name: str, factor: float) -> Config:
    value = getattr(CONFIG.windows, name)
    changed = dataclasses.replace(CONFIG.windows, **{name: value * factor})
    return dataclasses.replace(CONFIG, windows=changed)


def find_changed(config: Config) -> set[str]:
    """The alerts that say something else under another configuration, by themselves or by what they read."""
    groups, others = build_groups(CONFIG), build_groups(config)
    changed: set[str] = set()
    for group, other in zip(groups, others, strict=True):
        records = {
            old.record for old, new in zip(group.recordings, other.recordings, strict=True) if old != new
        }
        changed |= {
            old.name
            for old, new in zip(group.alerts, other.alerts, strict=True)
            if (old.expr, old.for_s) != (new.expr, new.for_s) or any(record in old.expr for record in records)
        }
    return changed


def check_that_cases_fail(config: Config, folder: Path) -> None:
    changed = find_changed(config)
    assert changed, "no rule uses it"
    is_memory = config.windows.memory_s != CONFIG.windows.memory_s
    cases = [case for case in CASES if case.alert in changed and case.is_of_days == is_memory]
    done = run_cases(render_rules(config), cases, folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("name", [own.name for own in dataclasses.fields(CONFIG.limits)])
def test_another_limit_is_noticed(name: str, direction: int, tmp_path: Path) -> None:
    """A limit that is one more or less, or a tenth, fails a case."""
    check_that_cases_fail(change_limit(name, direction), tmp_path)


@pytest.mark.parametrize("factor", [0.5, 2])
@pytest.mark.parametrize(
    "name", [own.name for own in dataclasses.fields(CONFIG.windows) if own.name != "interval_s"]
)
def test_another_window_is_noticed(name: str, factor: float, tmp_path: Path) -> None:
    """A window of half or twice the time fails a case."""
    check_that_cases_fail(change_window(name, factor), tmp_path)
