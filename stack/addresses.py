"""The environment that tells each configuration who listens where, and which folder is whose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .places import ROOT
from .ports import HOST, Ports

RULES = ROOT / "grafana" / "generated" / "prometheus" / "*.yaml"


def build_environment(ports: Ports, data: Path) -> dict[str, str]:
    """One variable for each address and folder; the configurations have those of ports.toml as defaults."""
    return {
        "TASKSCOPE_RULES": str(RULES),
        **_collector("AGENT", ports["agent"], data / "agent-queue"),
        **_collector("GATEWAY", ports["gateway"], data / "gateway-queue"),
        "TASKSCOPE_GATEWAY_DERIVED": _at(ports["gateway"]["derived"]),
        "TASKSCOPE_TEMPO": _at(ports["tempo"]["http"]),
        "TASKSCOPE_TEMPO_HTTP_PORT": str(ports["tempo"]["http"]),
        "TASKSCOPE_TEMPO_GRPC_PORT": str(ports["tempo"]["grpc"]),
        "TASKSCOPE_TEMPO_OTLP_GRPC": _at(ports["tempo"]["otlp_grpc"]),
        "TASKSCOPE_TEMPO_OTLP_HTTP": _at(ports["tempo"]["otlp_http"]),
        "TASKSCOPE_TEMPO_DATA": str(data / "tempo"),
        "TASKSCOPE_LOKI": _at(ports["loki"]["http"]),
        "TASKSCOPE_LOKI_URL": _url(ports["loki"]["http"]),
        "TASKSCOPE_LOKI_HTTP_PORT": str(ports["loki"]["http"]),
        "TASKSCOPE_LOKI_GRPC_PORT": str(ports["loki"]["grpc"]),
        "TASKSCOPE_LOKI_DATA": str(data / "loki"),
        "TASKSCOPE_PROMETHEUS": _at(ports["prometheus"]["http"]),
        "TASKSCOPE_PROMETHEUS_URL": _url(ports["prometheus"]["http"]),
        "TASKSCOPE_ALERTMANAGER": _at(ports["alertmanager"]["http"]),
    }


def _collector(tier: str, ports: Mapping[str, int], queue: Path) -> dict[str, str]:
    return {
        f"TASKSCOPE_{tier}_OTLP_GRPC": _at(ports["otlp_grpc"]),
        f"TASKSCOPE_{tier}_OTLP_HTTP": _at(ports["otlp_http"]),
        f"TASKSCOPE_{tier}_METRICS_HOST": HOST,
        f"TASKSCOPE_{tier}_METRICS_PORT": str(ports["metrics"]),
        f"TASKSCOPE_{tier}_HEALTH": _at(ports["health"]),
        f"TASKSCOPE_{tier}_QUEUE": str(queue),
    }


def _at(port: int) -> str:
    return f"{HOST}:{port}"


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"
