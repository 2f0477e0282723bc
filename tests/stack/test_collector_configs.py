"""Each configuration of the Collector as its files are merged: valid, bootable, and a record goes through."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from stack.errors import NotReadyError
from stack.places import ROOT
from stack.programs import find_binary, find_collector_configs

from .otlp import wait_for
from .senders import SIGNALS, Sender, Temporality, encode_counter
from .sinks import Sinks
from .tls import make_tls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stack.instance import Instance

    from .conftest import MakeInstance

NOTHING: dict[str, set[str]] = {signal: set() for signal in SIGNALS}
QUICK_SAMPLING = {
    "TASKSCOPE_SAMPLING_WAIT": "1s",
    "TASKSCOPE_SAMPLING_WAIT_AFTER_ROOT": "1s",
    "TASKSCOPE_SAMPLING_BASELINE_PERCENT": "100",
}


def validate(configs: Sequence[Path], environment: Mapping[str, str]) -> str:
    """What `taskscope-collector validate` says; empty when it is content."""
    command = [str(find_binary("taskscope-collector")), "validate", *(f"--config={path}" for path in configs)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(environment), check=False)
    assert (done.returncode == 0) == (not done.stderr), done
    return done.stderr


def write(folder: Path, overlay: Mapping[str, object]) -> Path:
    """A further file for a test; JSON is YAML."""
    path = folder / "more.yaml"
    path.write_text(json.dumps(overlay))
    return path


@pytest.mark.parametrize(
    "overlays, programs, way_in",
    [
        ((), ("gateway",), "gateway"),
        ((), ("gateway", "agent"), "agent"),
        (("laptop",), ("gateway",), "agent"),
        (("scale",), ("gateway", "agent"), "agent"),
        (("laptop", "scale"), ("gateway",), "agent"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else value,
)
def test_each_merged_configuration_is_valid_boots_and_lets_records_through(
    make_instance: MakeInstance, overlays: tuple[str, ...], programs: tuple[str, ...], way_in: str
) -> None:
    """A span, a log record and a data point that go in come out at the backend of their signal."""
    configs = find_collector_configs("gateway", *overlays)
    instance = make_instance(configs={"gateway": configs}, environment=QUICK_SAMPLING)
    assert validate(configs, instance.environment) == ""
    assert validate(find_collector_configs("agent"), instance.environment) == ""
    with Sinks(instance) as sinks:
        instance.start(*programs)
        sender = Sender(instance.url(way_in, "otlp_http"))
        sender.send(1)
        assert sinks.wait_for(sender.sent) == NOTHING


WRONG: dict[str, dict[str, object]] = {
    "an unknown key": {"exporters": {"otlp_http/loki": {"sending_queue": {"queue_sise": 5}}}},
    "an unknown component": {"processors": {"tail_samplink": {}}},
    "OTTL that cannot be read": {
        "processors": {
            "transform/dialects": {"trace_statements": [{"context": "span", "statements": ["set("]}]}
        }
    },
    "a pipeline into nothing": {"service": {"pipelines": {"logs/in": {"exporters": ["otlp_http/nowhere"]}}}},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_validate_refuses_what_is_wrong(instance: Instance, tmp_path: Path, wrong: str) -> None:
    """The control of the test above: `validate` can fail."""
    configs = (*find_collector_configs("gateway"), write(tmp_path, WRONG[wrong]))
    assert validate(configs, instance.environment) != ""


BOOT_ONLY: dict[str, dict[str, object]] = {
    "a queue in a storage that does not exist": {
        "exporters": {"otlp_http/loki": {"sending_queue": {"storage": "file_storage/nowhere"}}}
    },
    "a queue in a folder that cannot be made": {
        "extensions": {
            "file_storage/queue": {"directory": "/proc/nowhere", "compaction": {"directory": "/tmp"}}
        }
    },
}


@pytest.mark.parametrize("wrong", BOOT_ONLY)
def test_only_a_boot_finds_what_validate_lets_pass(
    make_instance: MakeInstance, tmp_path: Path, wrong: str
) -> None:
    """`validate` is content, the process ends: which is why each configuration is booted here."""
    configs = (*find_collector_configs("gateway"), write(tmp_path, BOOT_ONLY[wrong]))
    instance = make_instance(configs={"gateway": configs})
    assert validate(configs, instance.environment) == ""
    with pytest.raises(NotReadyError, match="ended before it was ready"):
        instance.start("gateway")


def test_every_backend_has_a_persistent_queue_of_its_own(instance: Instance) -> None:
    """What waits is on disk, in a file for each exporter and signal, also where no backend answers."""
    instance.start("gateway", "agent")
    Sender(instance.url("agent", "otlp_http")).send(1)
    files = {path.name for path in (instance.folder / "data").glob("*-queue/*")}
    expected = {
        *(f"exporter_otlp_grpc_gateway_{signal}" for signal in SIGNALS),
        "exporter_otlp_grpc_tempo_traces",
        "exporter_otlp_http_loki_logs",
        "exporter_otlp_http_prometheus_metrics",
    }
    assert expected <= files, files


def read_points(sinks: Sinks, name: str) -> list[tuple[int, int]]:
    """Value and temporality of each point of a counter that came, in the order of time."""
    sums = [metric.sum for metric in sinks.metrics if metric.name == name]
    points = [(point, one.aggregation_temporality) for one in sums for point in one.data_points]
    return [
        (point.as_int, temporality)
        for point, temporality in sorted(points, key=lambda one: one[0].time_unix_nano)
    ]


def test_deltas_of_others_become_cumulative_and_cumulative_ones_pass(instance: Instance) -> None:
    """Prometheus takes no deltas; in their order through both tiers they add up to the whole."""
    deltas, wholes = [5, 7, 1], [5, 12, 13]
    with Sinks(instance) as sinks:
        instance.start("gateway", "agent")
        sender = Sender(instance.url("agent", "otlp_http"))
        for delta, whole in zip(deltas, wholes, strict=True):
            sender.deliver("metrics", encode_counter("proof.delta", delta, Temporality.DELTA))
            sender.deliver("metrics", encode_counter("proof.whole", whole, Temporality.CUMULATIVE))
        expected = [(whole, int(Temporality.CUMULATIVE)) for whole in wholes]
        for name in ("proof.delta", "proof.whole"):
            wait_for(functools.partial(read_points, sinks, name), expected)


COLLECTOR = ROOT / "collector"
COMPONENTS = ("receivers", "processors", "exporters", "connectors", "extensions")
FOR_TESTS = {("exporters", "debug")}
"""What tests and the benchmark of the gateway end in."""


def test_each_component_that_is_built_is_used() -> None:
    """What no file of the Collector configures is only more to fetch, to build and to trust."""
    told = subprocess.run([find_binary("taskscope-collector"), "components"], capture_output=True, check=True)
    components = yaml.safe_load(told.stdout)
    built = {(kind, component["name"]) for kind in COMPONENTS for component in components[kind]}
    files = [path for path in COLLECTOR.rglob("*.yaml") if path.name != "builder.yaml"]
    used = {
        (kind, name.partition("/")[0])
        for config in (yaml.safe_load(path.read_text()) for path in files)
        for kind in COMPONENTS
        for name in config.get(kind, {})
    }
    assert built - used == FOR_TESTS


README = (COLLECTOR / "README.md").read_text(encoding="utf-8")


# Stands for the Collector: answers the check before the start, then says whether what it is given is valid.
STAND_IN = """#!/bin/sh
[ "$1" = print-config ] && exec {collector} "$@"
echo "$@" >> {started}
exec {collector} validate "$@"
"""


def test_the_commands_of_the_readme_start_valid_configurations(instance: Instance, tmp_path: Path) -> None:
    """Each of them gets through the check before the start, from the root of the repository."""
    started, stand_in = tmp_path / "started", tmp_path / "taskscope-collector"
    stand_in.write_text(STAND_IN.format(collector=find_binary("taskscope-collector"), started=started))
    stand_in.chmod(0o755)
    environment = {**instance.environment, **make_tls(tmp_path).environment}
    environment["PATH"] = f"{tmp_path}:{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", "\n".join(re.findall(r"(?m)^```sh\n(.*?)^```", README, re.DOTALL))],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(started.read_text().splitlines()) == 6
