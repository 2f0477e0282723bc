"""Laws of what the gateway derives from spans: it is the recorder's table, whole, and nothing of its own."""

from __future__ import annotations

from collector.derived import DERIVED, NOT_DERIVED, NOT_DERIVED_RULES, ROLES, build
from taskscope.semconv.metrics import METRICS
from taskscope.store.roles import COUNTED_OF_OTHERS
from taskscope.store.rules import RULES


def test_each_rule_for_other_senders_is_derived_or_says_why_not() -> None:
    """A rule that is new in the recorder's table is a task here, or has its reason."""
    rules = {(role, rule.metric) for role in COUNTED_OF_OTHERS for rule in RULES.get(role, ())}
    assert rules == {(one.role, one.metric) for one in DERIVED} | NOT_DERIVED_RULES.keys()
    assert not NOT_DERIVED.keys() & {metric for _, metric in rules}


def test_what_is_derived_is_declared() -> None:
    """Name, unit, description, labels and buckets of each definition are those of the contract."""
    by_name = {metric.name: metric for metric in METRICS}
    for made in build()["connectors"]["signal_to_metrics/foreign"]["spans"]:
        metric = by_name[made["name"]]
        assert (made["unit"], made["description"]) == (metric.unit, metric.description)
        role, *labels = made["attributes"]
        assert role["key"].startswith(ROLES)
        assert [label["key"] for label in labels] == list(metric.labels)
        assert made.get("histogram", {}).get("buckets", []) == list(metric.buckets)
        assert ("sum" in made) == (metric.instrument == "counter")
