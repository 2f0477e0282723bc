"""collector/README.md draws the pipelines that the files make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "collector" / "README.md").read_text(encoding="utf-8")
CONFIGS = [ROOT / "collector" / "gateway.yaml", *sorted((ROOT / "collector" / "generated").glob("*.yaml"))]
PIPELINES: dict[str, dict[str, list[str]]] = {
    name: pipeline
    for config in CONFIGS
    for name, pipeline in yaml.safe_load(config.read_text()).get("service", {}).get("pipelines", {}).items()
}


def read_drawing(name: str) -> list[str]:
    """The components in the drawing of a pipeline, in their order, without what only an overlay adds."""
    (drawn,) = re.findall(rf"(?ms)^  {name}: (.*?)(?:\n\n|```)", README)
    return re.findall(
        r"[a-z_]+(?:/[a-z_]+)?(?=\s|,|$)", re.sub(r"\(scale:.*?\)|\[.*?\]|scraped.*", " ", drawn)
    )


def components(pipeline: dict[str, Any]) -> list[str]:
    return [*pipeline["receivers"], *pipeline.get("processors", []), *pipeline["exporters"]]


@pytest.mark.parametrize("name", PIPELINES)
def test_each_pipeline_is_drawn_with_its_components_in_their_order(name: str) -> None:
    """Other pipelines that one feeds may be named too."""
    drawn = [component for component in read_drawing(name) if component not in PIPELINES]
    expected = components(PIPELINES[name])
    assert sorted(drawn) == sorted(expected)
    in_order = [*PIPELINES[name]["receivers"], *PIPELINES[name].get("processors", [])]
    assert [component for component in drawn if component in in_order] == in_order
