"""What the page about models and money says of nothing, in Prometheus' own test runner.

The queries are those of the committed page; samples and answers are told by hand. The chosen time is the last
half of the samples, which stand a minute apart. Cap and budget are gauges of the day and have no range.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from stack.programs import find_binary

from .rule_cases import HOST, KNOWN
from .walk import EVERYTHING, Target, Walk, load_pages, targets_of

if TYPE_CHECKING:
    from pathlib import Path

RANGE_S: Final = 3600
QUIET: Final = "x120"
"""The same value in all of the samples: `5x120` is what was there before and did not grow."""
GROWING: Final = "5x60 6+1x59"
"""60 more in the chosen time, one a minute."""
WORK: Final = 'gen_ai_agent_name="coder",taskscope_task_kind="repair"'
DOLLARS: Final = {
    "Known cost",
    "By agent and kind of task: Known cost",
    "By model: Known cost",
    "Burn, by model",
}
TOKENS: Final = {
    "Input tokens": "input",
    "of these from cache": "cache_read_input",
    "written to cache": "cache_write_input",
    "Output tokens": "output",
    "of these reasoning": "reasoning_output",
}
"""Column to the counter behind it."""


def model(name: str) -> str:
    return f'{HOST},gen_ai_provider_name="openai",gen_ai_request_model="{name}"'


def calls(name: str, values: str) -> dict[str, str]:
    """Calls of a model, and their buckets."""
    labels = f'{model(name)},gen_ai_operation_name="chat"'
    duration = "gen_ai_client_inference_duration_seconds"
    return {
        f"{duration}_count{{{labels}}}": values,
        f'{duration}_bucket{{{labels},le="1"}}': values,
        f'{duration}_bucket{{{labels},le="+Inf"}}': values,
    }


def failed(name: str, values: str) -> dict[str, str]:
    labels = f'{model(name)},gen_ai_operation_name="chat",error_type="500"'
    return {f"gen_ai_client_inference_duration_seconds_count{{{labels}}}": values}


def retries(name: str, values: str) -> dict[str, str]:
    return {f"taskscope_llm_retries_total{{{model(name)}}}": values}


def embedded(name: str, values: str) -> dict[str, str]:
    labels = f'{model(name)},gen_ai_operation_name="embeddings"'
    return {f"gen_ai_client_operation_duration_seconds_count{{{labels}}}": values}


def tokens(name: str, values: str) -> dict[str, str]:
    labels = f'{model(name)},gen_ai_token_modality="text"'
    return {
        f"gen_ai_client_inference_usage_{kind}_tokens_total{{{labels}}}": values for kind in TOKENS.values()
    }


def cost(name: str, values: str) -> dict[str, str]:
    return {f"taskscope_llm_cost_micro_usd_total{{{model(name)},{WORK}}}": values}


def unpriced(name: str, values: str) -> dict[str, str]:
    labels = f'{model(name)},{WORK},taskscope_cost_unknown_reason="missing_usage"'
    return {f"taskscope_llm_unpriced_calls_total{{{labels}}}": values}


@dataclass(frozen=True, slots=True)
class Scene:
    law: str
    series: Mapping[str, str]
    answers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Panel, or panel and column, to all numbers of the answer. What is not named has none."""
    others: frozenset[str] = frozenset()
    """What this scene says nothing of."""


def each(names: set[str], *numbers: float) -> dict[str, tuple[float, ...]]:
    return dict.fromkeys(sorted(names), numbers)


OF_MODEL: Final = {f"By model: {name}" for name in TOKENS}
COUNTED: Final = {"Calls": (60.0,), "By model: Calls": (60.0,)}
ALL_UNKNOWN: Final = {
    "Calls of unknown cost": (60.0,),
    "By model: Calls of unknown cost": (60.0,),
    "By agent and kind of task: Calls of unknown cost": (60.0,),
    "Calls of unknown cost, by reason": (60.0,),
}
TIMES: Final = frozenset(
    f"How long a call takes: {one} {{{{gen_ai_request_model}}}}" for one in ("p50", "p95")
)
OLD: Final = {
    **KNOWN,
    **calls("old", f"5{QUIET}"),
    **failed("old", f"2{QUIET}"),
    **retries("old", f"3{QUIET}"),
    **tokens("old", f"900{QUIET}"),
    **cost("old", f"700{QUIET}"),
    **unpriced("old", f"1{QUIET}"),
}
"""A model that was called before the chosen time."""

SCENES: Final = (
    Scene("a range without calls answers nothing", OLD),
    Scene(
        "an embedder in the process, which costs nothing that could be known, is no call",
        {**OLD, **embedded("in-process", GROWING)},
    ),
    Scene(
        "calls at price 0 cost 0, and their tokens are counted",
        {
            **OLD,
            **calls("free", GROWING),
            **tokens("free", GROWING),
            **cost("free", f"0{QUIET}"),
        },
        {
            **COUNTED,
            **each(DOLLARS, 0.0),
            **each(OF_MODEL, 60.0),
            "Cached share of input": (1.0,),
            **each({f"Tokens: {name}" for name in ("input", "of these from cache", "output")}, 1 / 60),
        },
        TIMES,
    ),
    Scene(
        "an embedder at price 0 costs 0",
        {**OLD, **embedded("free", GROWING), **cost("free", f"0{QUIET}")},
        each(DOLLARS, 0.0),
    ),
    Scene(
        "calls that told no token show 0 tokens",
        {**OLD, **calls("free", GROWING), **tokens("free", f"0{QUIET}"), **cost("free", f"0{QUIET}")},
        {**COUNTED, **each(DOLLARS | OF_MODEL, 0.0)},
        TIMES,
    ),
    Scene(
        "calls of unknown cost alone are shown, and no cost, though the model had one before",
        {
            **OLD,
            **calls("m", GROWING),
            **cost("m", f"800{QUIET}"),
            **unpriced("m", GROWING),
        },
        {**COUNTED, **ALL_UNKNOWN},
        TIMES,
    ),
    Scene(
        "beside calls of unknown cost those at price 0 cost 0",
        {
            **OLD,
            **calls("m", GROWING),
            **calls("free", GROWING),
            **cost("m", f"800{QUIET}"),
            **cost("free", f"0{QUIET}"),
            **unpriced("m", GROWING),
        },
        {
            **ALL_UNKNOWN,
            **each(DOLLARS, 0.0),
            "Calls": (120.0,),
            "By model: Calls": (60.0, 60.0),
        },
        TIMES,
    ),
    Scene(
        "a cost is never hidden, whatever is known of the calls behind it",
        {**OLD, **cost("m", "0x60 1000000+1000000x59")},
        {**each(DOLLARS, 60.0)},
    ),
)


def name_of(target: Target) -> str:
    """The panel, with the column or line where it has several."""
    (panel,) = (
        one
        for page in load_pages()
        if page["uid"] == target.page
        for one in page["panels"]
        if one["title"] == target.panel
    )
    if len(panel["targets"]) == 1:
        return target.panel
    return f"{target.panel}: {target.query['legendFormat']}"


def write_question(target: Target, scene: Scene, walk: Walk) -> dict[str, Any]:
    """The numbers of the answer without their labels; a NaN, which is drawn nowhere, is none."""
    asked = f'count_values without () ("value", round(({walk.fill(target.query["expr"])}) >= 0, 0.0001))'
    counted: dict[float, int] = {}
    for number in scene.answers.get(name_of(target), ()):
        counted[round(number, 4)] = counted.get(round(number, 4), 0) + 1
    return {
        "expr": f"sum by (value) ({asked})",
        "eval_time": f"{2 * RANGE_S}s",
        "exp_samples": [
            {"labels": f'{{value="{number:g}"}}', "value": count} for number, count in counted.items()
        ],
    }


def find_targets() -> list[Target]:
    (page,) = (page for page in load_pages() if page["uid"] == "taskscope-llm")
    return [one for one in targets_of(page) if one.query["datasource"]["uid"] == "prometheus"]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.law)
def test_the_page_says_of_nothing_what_each_scene_says(scene: Scene, tmp_path: Path) -> None:
    """Each panel answers exactly the numbers of the scene, and nothing where it names none."""
    walk = Walk({}, EVERYTHING, RANGE_S, 2 * RANGE_S)
    asked = [one for one in find_targets() if name_of(one) not in scene.others]
    assert set(scene.answers) | scene.others <= {name_of(one) for one in find_targets()}
    document = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": text} for name, text in scene.series.items()],
                "promql_expr_test": [write_question(one, scene, walk) for one in asked],
            }
        ],
    }
    path = tmp_path / "scene.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    command = [str(find_binary("promtool")), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
