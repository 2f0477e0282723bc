"""An instance: what it starts is ready, keeps to loopback, survives, is ended; strangers are left alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stack.errors import NotReadyError, PortInUseError
from stack.programs import PROGRAMS, find_binary
from stack.versions import load_pins
from tests.stack.otlp import (
    PATIENCE,
    ask,
    find_lines,
    find_spans,
    find_traces,
    find_values,
    send_log,
    send_sample,
    send_span,
    wait_for,
)

if TYPE_CHECKING:
    from stack.instance import Instance
    from tests.stack.conftest import MakeInstance

BACKENDS = ("prometheus", "loki", "tempo")
BINARIES = [(binary, pin.release) for pin in load_pins().values() for binary in pin.packages]
LOOPBACK = "0100007F"
COLLECTOR = """\
extensions:
  health_check: {endpoint: "${env:TASKSCOPE_%(tier)s_HEALTH}"}
receivers:
  otlp: {protocols: {grpc: {endpoint: "${env:TASKSCOPE_%(tier)s_OTLP_GRPC}"}}}
exporters:
  debug:
service:
  extensions: [health_check]
  telemetry: {metrics: {readers: [pull: {exporter: {prometheus: {
    host: "${env:TASKSCOPE_%(tier)s_METRICS_HOST}", port: "${env:TASKSCOPE_%(tier)s_METRICS_PORT}"}}}]}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
"""


@pytest.mark.parametrize("binary,release", BINARIES, ids=[binary for binary, _ in BINARIES])
def test_each_program_says_the_release_that_was_pinned(binary: str, release: str) -> None:
    """What was built calls itself what versions.toml says."""
    command = [str(find_binary(binary)), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert release in (said.stdout + said.stderr).splitlines()[0].replace(",", " ").replace("v", " ").split()


def test_nothing_listens_beyond_loopback(make_instance: MakeInstance, tmp_path: Path) -> None:
    """All programs at once are ready, and each listens on ports of its own on 127.0.0.1 and nowhere else."""
    instance = make_instance(configs=_write_collectors(tmp_path))
    instance.start(*PROGRAMS)
    for name in PROGRAMS:
        pid = instance.processes[name].pid
        assert pid is not None
        listened = _read_listeners(pid)
        assert {address for address, _ in listened} == {LOOPBACK}, name
        assert {port for _, port in listened} <= set(instance.ports[name].values()), name


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_stored_survives_the_end_of_all(instance: Instance, end: str) -> None:
    """A span, a log record and a sample are found again after all backends were ended and started.

    Tempo says yes before it writes: a span is safe from a kill once a search finds it.
    """
    instance.start(*BACKENDS)
    trace = send_span(instance, "kept")
    send_log(instance, "kept")
    send_sample(instance, "kept", 7)
    wait_for(lambda: find_traces(instance, '{name="kept"}'), [trace])
    wait_for(lambda: find_values(instance, "kept_total"), [7.0])
    at = time.time()
    wait_for(lambda: find_lines(instance, '{service_name="shop"}'), ["kept"])
    getattr(instance, end)(*BACKENDS)
    assert not any(instance.is_running(name) for name in BACKENDS)
    instance.start(*BACKENDS)
    wait_for(lambda: len(find_spans(instance, trace)), 1)
    wait_for(lambda: find_values(instance, "kept_total", at), [7.0])
    wait_for(lambda: find_lines(instance, '{service_name="shop"}'), ["kept"])


def test_a_port_in_use_is_named_with_its_holder(instance: Instance) -> None:
    """When somebody else has a port, the error says which, for what and who; no program was started."""
    port = instance.ports["alertmanager"]["http"]
    with closing(socket.create_server(("127.0.0.1", port))):
        holder = rf"port {port} \(alertmanager http\) is in use by process {os.getpid()} \("
        with pytest.raises(PortInUseError, match=holder):
            instance.start("prometheus", "alertmanager")
    assert not instance.is_running("prometheus")


def test_a_program_that_ends_at_once_is_told_with_its_last_words(make_instance: MakeInstance) -> None:
    """A configuration that the program refuses ends the wait long before its deadline, with the reason."""
    instance = make_instance(environment={"TASKSCOPE_ALERT_GROUP_WAIT": "soon"})
    with pytest.raises(NotReadyError, match=r'alertmanager ended before it was ready.*\n.*"?soon'):
        instance.start("alertmanager")


def test_a_program_that_hangs_is_not_taken_for_ready(instance: Instance) -> None:
    """The wait has an end, which names the program and its log."""
    instance.start("alertmanager")
    process = instance.processes["alertmanager"]
    assert process.pid is not None
    process.send(signal.SIGSTOP)
    # Until the last of its threads has come to a stand, it may answer.
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    with pytest.raises(NotReadyError, match=r"alertmanager was not ready after 0 s; .*alertmanager\.log"):
        instance.wait_ready("alertmanager", patience=0)
    process.send(signal.SIGCONT)
    instance.wait_ready("alertmanager")


def test_tempo_is_ended_in_time_and_keeps_what_it_took(instance: Instance) -> None:
    """Tempo, which may wait for ever on SIGTERM, is ended all the same, and has written all that it took."""
    instance.start("tempo")
    find_traces(instance, "{}")
    traces = [send_span(instance, "last") for _ in range(100)]
    instance.stop("tempo")
    assert not instance.is_running("tempo")
    instance.start("tempo")
    wait_for(lambda: [len(find_spans(instance, trace)) for trace in traces], [1] * 100)


def test_prometheus_reads_new_rules_without_a_restart(make_instance: MakeInstance, tmp_path: Path) -> None:
    """After `reload` a rule that was written meanwhile is there, in the same process."""
    instance = make_instance(environment={"TASKSCOPE_RULES": f"{tmp_path}/*.yaml"})
    instance.start("prometheus")
    pid = instance.processes["prometheus"].pid
    rules = instance.url("prometheus") + "/api/v1/rules"
    assert ask(rules)["data"]["groups"] == []
    (tmp_path / "new.yaml").write_text("groups: [{name: new, rules: [{record: one, expr: vector(1)}]}]")
    instance.reload("prometheus")
    wait_for(lambda: [group["name"] for group in ask(rules)["data"]["groups"]], ["new"])
    assert instance.processes["prometheus"].pid == pid


def test_nats_keeps_messages_in_the_folder_of_the_instance(instance: Instance) -> None:
    """NATS has JetStream on, which stores where everything else does."""
    instance.start("nats")
    store = ask(instance.url("nats") + "/jsz")["config"]["store_dir"]
    assert Path(store).is_relative_to(instance.folder)


def _write_collectors(folder: Path) -> dict[str, list[Path]]:
    paths = {tier: folder / f"{tier}.yaml" for tier in ("agent", "gateway")}
    for tier, path in paths.items():
        path.write_text(COLLECTOR % {"tier": tier.upper()})
    return {tier: [path] for tier, path in paths.items()}


def _read_listeners(pid: int) -> set[tuple[str, int]]:
    """The addresses and ports on which a process listens, IPv6 too; addresses as the kernel writes them."""
    links = [str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir()]
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    local = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links]
    return {(address, int(port, 16)) for address, port in local}
