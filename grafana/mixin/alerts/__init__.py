"""All alerts, once; `prometheus.py` and `provisioning.py` write them for those who evaluate them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import backends, collector, cost, health, models, tasks, telemetry
from .alert import Alert, Group, Recording

if TYPE_CHECKING:
    from grafana.mixin.config import Config

__all__ = ["Alert", "Group", "Recording", "build_groups"]


def build_groups(config: Config) -> tuple[Group, ...]:
    """All groups, in the order in which a person reads them."""
    return (
        tasks.build_group(config),
        cost.build_group(config),
        models.build_group(config),
        health.build_group(config),
        telemetry.build_group(config),
        collector.build_group(config),
        backends.build_group(config),
    )
