"""All pages, in the order in which a person asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import fleet, health, llm, pipeline, retrieval, task, tools

if TYPE_CHECKING:
    from grafana.mixin.panels import Page

PAGES: Final[tuple[Page, ...]] = (
    fleet.PAGE,
    task.PAGE,
    llm.PAGE,
    tools.PAGE,
    retrieval.PAGE,
    health.PAGE,
    pipeline.PAGE,
)
