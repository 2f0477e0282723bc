"""The programs of the stack: how each is called, on which ports, and where it says that it is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import StackError
from .places import BUILT, ROOT, STACK
from .ports import HOST, Ports
from .versions import load_pins

_COLLECTOR: Final = ROOT / "collector"


@dataclass(frozen=True, slots=True)
class Program:
    """One program that runs; the agent tier and the gateway are two of the same binary."""

    binary: str
    ready_port: str
    """Which of its ports answers `ready_path`."""
    ready_path: str
    configs: tuple[Path, ...] = ()
    """What it runs with, unless an instance is given others."""
    is_rendered: bool = False
    """It expands no variables itself."""
    patience: float = 15.0
    """Seconds that it may take for an orderly end."""


def find_collector_configs(tier: str, *overlays: str) -> tuple[Path, ...]:
    """The files of a Collector tier: its own, the gateway's generated ones, then overlays by name."""
    generated = sorted((_COLLECTOR / "generated").glob("*.yaml")) if tier == "gateway" else []
    added = (_COLLECTOR / "overlays" / f"{name}.yaml" for name in overlays)
    return (_COLLECTOR / f"{tier}.yaml", *generated, *added)


PROGRAMS: Final[Mapping[str, Program]] = {
    "prometheus": Program("prometheus", "http", "/-/ready", (STACK / "prometheus.yaml",), is_rendered=True),
    "loki": Program("loki", "http", "/ready", (STACK / "loki.yaml",)),
    # Once it was asked something, 2.8 often waits for ever for a queue that nobody empties.
    "tempo": Program("tempo", "http", "/ready", (STACK / "tempo.yaml",), patience=5.0),
    "alertmanager": Program(
        "alertmanager", "http", "/-/ready", (STACK / "alertmanager.yaml",), is_rendered=True
    ),
    "nats": Program("nats-server", "http", "/healthz"),
    "gateway": Program("taskscope-collector", "health", "/", find_collector_configs("gateway")),
    "agent": Program("taskscope-collector", "health", "/", find_collector_configs("agent")),
}
"""In the order in which they are started: who is sent to comes first."""


def find_binary(name: str) -> Path:
    """The path of a built binary, such as `promtool`; StackError says how to build it when it is missing."""
    if BUILT is not None and (binary := BUILT / name).exists():
        return binary
    for pin in load_pins().values():
        if name in pin.packages and pin.is_built:
            return pin.folder / name
    msg = f"{name} is not built yet; call `make stack`, or use the Docker way: docker compose up"
    raise StackError(msg)


def build_command(name: str, ports: Ports, data: Path, configs: Sequence[Path]) -> list[str]:
    """The command that runs a program on these ports, with its data in a folder of its own."""
    program = PROGRAMS[name]
    arguments = _ARGUMENTS[program.binary]
    command = [str(find_binary(program.binary))]
    if program.binary == "taskscope-collector":
        return [*command, *(f"--config={config}" for config in configs)]
    config = configs[0] if configs else ""
    values = {"config": config, "data": data / name, "host": HOST, **ports[name]}
    return [*command, *(argument.format(**values) for argument in arguments)]


_ARGUMENTS: Final[Mapping[str, Sequence[str]]] = {
    "taskscope-collector": (),
    "prometheus": (
        "--config.file={config}",
        "--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=30d",
        "--web.listen-address={host}:{http}",
        "--web.enable-otlp-receiver",
        # The second: a counter's first value counts in increase(), for Prometheus knows when it began.
        "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
        "--log.level=warn",
    ),
    "loki": ("-config.expand-env=true", "-config.file={config}"),
    "tempo": ("-config.expand-env=true", "-config.file={config}"),
    "alertmanager": (
        "--config.file={config}",
        "--storage.path={data}",
        "--web.listen-address={host}:{http}",
        "--cluster.listen-address=",  # alone: no gossip, and no port for it
        "--log.level=warn",
    ),
    "nats-server": (
        "--addr={host}",
        "--port={client}",
        "--http_port={http}",
        "--jetstream",
        "--store_dir={data}",
    ),
}
