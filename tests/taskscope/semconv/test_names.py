"""The contract's names: each once, documented, of a namespace that is ours or the convention's."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import opentelemetry.semconv
import pytest

from taskscope.semconv import attributes, events, metrics, short_names, spans

MODULES = (attributes, events, metrics, short_names, spans)

# From open-telemetry/semantic-conventions-genai @88eccb1; the Python package stopped before these.
GENAI_REPOSITORY = {
    "gen_ai.memory.record.count",
    "gen_ai.memory.record.id",
    "gen_ai.memory.store.id",
    "gen_ai.retrieval.top_k",
    "gen_ai.skill.description",
    "gen_ai.skill.name",
    "gen_ai.token.modality",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.client.inference.duration",
    "gen_ai.client.inference.operation.input_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "gen_ai.client.inference.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens",
    "gen_ai.client.inference.usage.reasoning.output_tokens",
    "gen_ai.client.operation.exception",
    "gen_ai.execute_tool.duration",
    "gen_ai.invoke_agent.duration",
    "gen_ai.invoke_agent.inference_calls",
    "gen_ai.invoke_agent.tool_calls",
    "gen_ai.invoke_workflow.duration",
}


def constants(module: object) -> dict[str, str]:
    """Return a module's constants that are strings."""
    return {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def upstream_names() -> set[str]:
    """Return every name that the OTel conventions' own package knows."""
    root = Path(next(iter(opentelemetry.semconv.__path__)))
    names: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            names |= set(
                constants(importlib.import_module(".".join(("opentelemetry.semconv", *parts)))).values()
            )
    return names


def test_no_attribute_stands_twice() -> None:
    """No attribute key stands twice."""
    keys = list(constants(attributes).values())
    assert sorted(keys) == sorted(set(keys))


def test_constant_is_the_key_in_capitals() -> None:
    """A constant's name is its key in capitals, without `taskscope.`."""
    for name, key in constants(attributes).items():
        assert name == key.removeprefix("taskscope.").replace(".", "_").upper()


def test_no_metric_event_or_short_name_stands_twice() -> None:
    """Metrics, events and short names are each unique, also as Prometheus spells them."""
    shown = [metric.prometheus_name for metric in metrics.METRICS] + [
        short.name for short in short_names.SHORT_NAMES
    ]
    assert len(shown) == len(set(shown))
    assert len(metrics.BY_NAME) == len(metrics.METRICS)
    assert len(set(constants(events).values())) == len(constants(events)) == len(events.SEVERITIES)


def test_no_name_extends_a_foreign_namespace() -> None:
    """A name is ours (`taskscope.`), or the conventions define exactly this name."""
    known = upstream_names() | GENAI_REPOSITORY | {events.EXCEPTION}
    ours = "taskscope."
    used = {*constants(attributes).values(), *metrics.BY_NAME, *events.SEVERITIES}
    assert {name for name in used if not name.startswith(ours)} - known == set()
    assert not {name for name in known if name.startswith(ours)}


def test_no_attribute_is_the_namespace_of_another() -> None:
    """No attribute key of ours continues another one, so that backends can nest them."""
    keys = set(constants(attributes).values())
    assert {key for key in keys for other in keys if other.startswith(f"{key}.")} == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_constant_has_a_docstring(module: object) -> None:
    """Under every public constant stands a literal docstring."""
    body = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body  # type: ignore[attr-defined]
    bare = [
        ast.unparse(node)
        for node, below in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and not ast.unparse(node).startswith("_")
        and not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant))
    ]
    assert bare == []


def test_closed_sets_belong_to_attributes() -> None:
    """Each closed set is that of an attribute, and holds no value twice."""
    assert set(spans.CLOSED_SETS) <= set(constants(attributes).values())
    for values in spans.CLOSED_SETS.values():
        assert len(values) == len(set(values))


def test_contract_imports_nothing_from_outside() -> None:
    """Importing the whole contract loads no third-party module."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from taskscope.semconv import attributes, events, metrics, short_names, spans\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["taskscope"]
