"""Before a Collector starts: what others would reach asks for certificate and token, or it is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.exposure import find_exposed, find_listeners, resolve
from stack.errors import ExposedError
from stack.places import ROOT
from stack.programs import find_binary, find_collector_configs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.instance import Instance

    from .conftest import MakeInstance

OVERLAYS = ROOT / "collector" / "overlays"
GATEWAY, AGENT = find_collector_configs("gateway"), find_collector_configs("agent")
SECURE = {"TASKSCOPE_GATEWAY_TLS": "/etc/taskscope", "TASKSCOPE_GATEWAY_TOKEN": "token"}
ADDRESSES = [
    "TASKSCOPE_GATEWAY_OTLP_GRPC",
    "TASKSCOPE_GATEWAY_OTLP_HTTP",
    "TASKSCOPE_GATEWAY_HEALTH",
    "TASKSCOPE_GATEWAY_DERIVED",
]


def build_line(*configs: Path, more: Sequence[str] = ()) -> list[str]:
    """How a Collector is started with these files."""
    return [str(find_binary("taskscope-collector")), *(f"--config={path}" for path in configs), *more]


@pytest.mark.parametrize(
    "configs", [AGENT, GATEWAY, *(find_collector_configs("gateway", name) for name in ("laptop", "scale"))]
)
def test_by_default_nothing_but_the_overlay_of_tls_is_reached_by_other_hosts(configs: Sequence[Path]) -> None:
    """Every listener of every other configuration is on loopback."""
    listeners = list(find_listeners(resolve(build_line(*configs), {})))
    assert len(listeners) >= 4
    assert all(listener.is_local for listener in listeners)


def test_the_overlay_of_tls_listens_beyond_this_host_and_asks_for_both() -> None:
    """It is allowed to, for it asks for both."""
    line = build_line(*GATEWAY, OVERLAYS / "tls.yaml")
    remote = [one for one in find_listeners(resolve(line, SECURE)) if not one.is_local]
    assert [one.place for one in remote] == ["receivers/otlp/grpc", "receivers/otlp/http"]
    assert find_exposed(line, SECURE) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "[::]", "gateway.example", ""])  # noqa: S104
def test_an_address_beyond_this_host_is_refused_without_both(host: str) -> None:
    """Whichever listeners are moved there by their variables, and however that is written."""
    moved = {variable: f"{host}:{port}" for port, variable in enumerate(ADDRESSES, 24317)}
    moved["TASKSCOPE_GATEWAY_METRICS_HOST"] = host.strip("[]") or "0.0.0.0"  # noqa: S104
    sentences = find_exposed(build_line(*GATEWAY), moved)
    assert len(sentences) == len(moved)
    assert all("without certificates of both sides and a token" in sentence for sentence in sentences)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]"])
def test_an_address_of_this_host_is_not_refused(host: str) -> None:
    """The control of the test above."""
    moved = {variable: f"{host}:{port}" for port, variable in enumerate(ADDRESSES, 24317)}
    assert find_exposed(build_line(*GATEWAY), moved) == []


def test_what_only_the_collector_knows_of_is_seen(tmp_path: Path) -> None:
    """A part of the command line, a variable without its scheme, one that holds a whole map."""
    hidden = tmp_path / "hidden.yaml"
    receivers = {"otlp/a": "${A}", "otlp/b": {"protocols": {"http": {"endpoint": "${B}"}}}}
    hidden.write_text(json.dumps({"receivers": receivers}))
    more = ["--set=receivers.otlp.protocols.grpc.endpoint=:4317"]
    environment = {"A": "{protocols: {grpc: {endpoint: '0.0.0.0:1'}}}", "B": "[::]:2"}
    places = [
        one.partition(" ")[0] for one in find_exposed(build_line(*AGENT, hidden, more=more), environment)
    ]
    assert places == ["receivers/otlp/grpc", "receivers/otlp/a/grpc", "receivers/otlp/b/http"]


@pytest.mark.parametrize(
    "left_out, said", [("client_ca_file:", "without certificates"), ("auth:", "without a token")]
)
def test_one_of_both_is_not_enough(tmp_path: Path, left_out: str, said: str) -> None:
    """TLS without certificates of the senders, or a token that anybody can try to guess."""
    lines = (OVERLAYS / "tls.yaml").read_text().splitlines()
    weakened = tmp_path / "weakened.yaml"
    weakened.write_text("\n".join(line for line in lines if not line.strip().startswith(left_out)))
    sentences = find_exposed(build_line(*GATEWAY, weakened), SECURE)
    assert len(sentences) == 2
    assert all(said in sentence for sentence in sentences)


def move_out(folder: Path) -> Path:
    """A file that opens the agent tier's HTTP port to all."""
    overlay = folder / "open.yaml"
    overlay.write_text("receivers: {otlp: {protocols: {http: {endpoint: 0.0.0.0:14318}}}}")
    return overlay


def test_the_native_stack_starts_nothing_when_a_collector_would_be_exposed(
    make_instance: MakeInstance, tmp_path: Path
) -> None:
    """Nor what was to start before it; the refusal names listener and remedy in one line."""
    instance = make_instance(configs={"agent": [*AGENT, move_out(tmp_path)]})
    remedy = (
        r"receivers/otlp/http listens at 0\.0\.0\.0:14318, .*; move it to 127\.0\.0\.1, or .*tls\.yaml does$"
    )
    with pytest.raises(ExposedError, match=f"^refused to start the agent: {remedy}"):
        instance.start("alertmanager", "agent")
    assert not instance.is_running("alertmanager")
    assert not instance.is_running("agent")


def start_by_hand(instance: Instance, *configs: Path) -> subprocess.Popen[str]:
    """The start line of collector/README.md."""
    return subprocess.Popen(
        [sys.executable, "-m", "collector.start", *build_line(*configs)],
        cwd=ROOT, env={**os.environ, **instance.environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_start_by_hand_is_refused_by_one_line_and_its_exit_code(instance: Instance, tmp_path: Path) -> None:
    """The Collector, which would begin with its log, says nothing."""
    process = start_by_hand(instance, *AGENT, move_out(tmp_path))
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert line.startswith("collector: refused: receivers/otlp/http listens at 0.0.0.0:14318")
    assert process.returncode == os.EX_CONFIG


def test_a_start_by_hand_becomes_the_collector(instance: Instance) -> None:
    """With the id that its starter knows, so that signals and limits are for the Collector itself."""
    with start_by_hand(instance, *AGENT) as process:
        assert process.stderr is not None
        assert any("Everything is ready" in line for line in process.stderr)
        assert Path(f"/proc/{process.pid}/exe").readlink() == find_binary("taskscope-collector")
        process.kill()


def test_a_start_by_hand_says_what_cannot_be_read(instance: Instance, tmp_path: Path) -> None:
    """A file that is not there is no reason to start unchecked."""
    process = start_by_hand(instance, tmp_path / "nowhere.yaml")
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert "nowhere.yaml: no such file" in line
    assert process.returncode == os.EX_CONFIG
