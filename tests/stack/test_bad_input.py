"""What goes wrong around the pipeline, and what the person sees of it: the laws of docs/troubleshooting.md.

Each test looks into the real program's log for the words that the page quotes. What our own shipper does in
the same cases is held by tests/taskscope/shipper and proven by `make reliability`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stack.errors import StackError
from stack.programs import PROGRAMS, find_collector_configs
from tests.taskscope.otlp_sink import Fault, OtlpSink
from tests.taskscope.service.services import environment

from .disks import fill
from .otlp_by_hand import SERVICE, make_log, make_span, make_total, post
from .tls import TOKEN, make_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack.instance import Instance

    from .conftest import MakeInstance
    from .tls import Tls

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
HOUR = 3600.0
PATIENCE_S = 60.0
RETRIED = "Exporting failed. Will retry the request after interval."
DROPPED = "Exporting failed. Dropping data."


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)


def assert_told(instance: Instance, program: str, *words: str) -> None:
    """A line of the program's log says all the words, and the page quotes each of them."""
    page = re.sub(r"\s+", " ", PAGE.read_text())
    assert [word for word in words if word not in page] == [], "not in docs/troubleshooting.md"
    wait_until(
        lambda: any(
            all(word in line for word in words) for line in instance.log(program).read_text().splitlines()
        ),
        f"{program} says {words}",
    )


def read_counter(instance: Instance, program: str, name: str, **labels: str) -> float:
    """The sum of a Collector's own metric over all series with these labels; 0 where there is none."""
    with urllib.request.urlopen(f"{instance.url(program, 'metrics')}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    series = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(line.rpartition(" ")[2]) for line in series if all(pair in line for pair in wanted))


def ask(url: str, **parameters: str) -> Any:
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return {"status": error.code}


def has_trace(instance: Instance, trace_id: str) -> bool:
    return "batches" in ask(f"{instance.url('tempo')}/api/traces/{trace_id}")


def find_lines(instance: Instance) -> set[str]:
    """The bodies of all lines in Loki that were made by hand, of yesterday to tomorrow."""
    day = 24 * HOUR
    found = ask(
        f"{instance.url('loki')}/loki/api/v1/query_range",
        query=f'{{service_name="{SERVICE}"}}',
        start=str(int(time.time() - day)),
        end=str(int(time.time() + day)),
        limit="1000",
    )
    return {value[1] for stream in found["data"]["result"] for value in stream["values"]}


def find_total(instance: Instance, name: str) -> float | None:
    """The last value of a counter in Prometheus, of the last two hours; before its first stands a 0."""
    found = ask(f"{instance.url('prometheus')}/api/v1/query", query=f"{name}[2h]")
    return next((float(series["values"][-1][1]) for series in found["data"]["result"]), None)


# --- a backend that is down, slow, or says no


def test_a_backend_that_is_down_costs_nothing(instance: Instance) -> None:
    """The sender hears 200, the queue tells its bytes, the health stays good; the span comes with Tempo."""
    instance.start("gateway")
    trace_id, request = make_span("waits")
    assert post(instance.url("gateway", "otlp_http"), "traces", request).status == 200
    assert_told(instance, "gateway", RETRIED, "connection refused")
    assert read_counter(instance, "gateway", "otelcol_exporter_queue_size", exporter="otlp_grpc/tempo") > 0
    assert read_counter(instance, "gateway", "otelcol_exporter_send_failed_spans") == 0
    assert instance.is_ready("gateway")
    instance.start("tempo")
    wait_until(lambda: has_trace(instance, trace_id), "the span in Tempo")


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def faulty(make_instance: MakeInstance, sink: OtlpSink, tmp_path: Path) -> Instance:
    """A gateway whose Loki fails as it is told, and is given a second for each answer."""
    place = tmp_path / "faulty.yaml"
    place.write_text(f'exporters: {{otlp_http/loki: {{endpoint: "{sink.url}", timeout: 1s}}}}\n')
    instance = make_instance(configs={"gateway": [*PROGRAMS["gateway"].configs, place]})
    instance.start("gateway")
    return instance


FOR_NOW = {
    "503": (Fault(status=503), ("responded with HTTP Status Code 503",)),
    "429": (Fault(status=429, headers={"Retry-After": "1"}), ("Throttle (1s)", "429")),
    "slow": (Fault(kind="hang"), ("context deadline exceeded",)),
    "reset": (Fault(kind="reset"), ("connection reset by peer",)),
}


@pytest.mark.parametrize("name", FOR_NOW)
def test_a_refusal_for_now_is_tried_again(faulty: Instance, sink: OtlpSink, name: str) -> None:
    """After 503, 429, a reset and no answer in time the record comes, and nothing counts as failed."""
    fault, words = FOR_NOW[name]
    sink.fail(fault)
    assert post(faulty.url("gateway", "otlp_http"), "logs", make_log(name)).status == 200
    wait_until(lambda: [log.body.string_value for log in sink.logs] == [name], "the record")
    assert_told(faulty, "gateway", RETRIED, *words)
    assert read_counter(faulty, "gateway", "otelcol_exporter_send_failed_log_records") == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500])
def test_a_refusal_for_good_is_counted(faulty: Instance, sink: OtlpSink, status: int) -> None:
    """What is answered with any other status is dropped, told and counted; what comes next arrives."""
    sink.fail(Fault(status=status))
    for body in ("refused", "next"):
        assert post(faulty.url("gateway", "otlp_http"), "logs", make_log(body)).status == 200
        wait_until(lambda: sink.attempts > 0, "a request")
    wait_until(lambda: "next" in [log.body.string_value for log in sink.logs], "the next one")
    assert_told(faulty, "gateway", DROPPED, "not retryable error")
    assert f"HTTP Status Code {status}" in faulty.log("gateway").read_text()
    failed = read_counter(faulty, "gateway", "otelcol_exporter_send_failed_log_records")
    assert failed == 2 - len(sink.logs)
    assert failed >= 1


def test_a_web_page_is_taken_for_a_yes(faulty: Instance, sink: OtlpSink) -> None:
    """An address that answers 200 with a page takes all and keeps nothing: it counts as sent."""
    sink.fail(Fault(kind="page"))
    post(faulty.url("gateway", "otlp_http"), "logs", make_log("gone"))
    wait_until(
        lambda: read_counter(faulty, "gateway", "otelcol_exporter_sent_log_records") == 1, "a record sent"
    )
    assert sink.logs == []
    assert read_counter(faulty, "gateway", "otelcol_exporter_send_failed_log_records") == 0


# --- a clock that is wrong by an hour


def test_a_clock_that_is_an_hour_slow_loses_nothing(instance: Instance) -> None:
    """Span, line and total of an hour ago are kept by all three, beside newer ones of the same service."""
    instance.start("prometheus", "loki", "tempo", "gateway")
    gateway, past = instance.url("gateway", "otlp_http"), time.time() - HOUR
    trace_id, request = make_span("slow", at=past)
    post(gateway, "logs", make_log("newer"))
    wait_until(lambda: "newer" in find_lines(instance), "the newer line")
    post(gateway, "traces", request)
    post(gateway, "logs", make_log("slow", at=past))
    post(gateway, "logs", make_log("a day late", at=time.time() - 23 * HOUR))
    post(gateway, "metrics", make_total("slow", 5, at=past))
    wait_until(lambda: has_trace(instance, trace_id), "the span")
    wait_until(lambda: {"newer", "slow", "a day late"} <= find_lines(instance), "the lines")
    wait_until(lambda: find_total(instance, "slow_total") == 5, "the total")
    assert DROPPED not in instance.log("gateway").read_text()


def test_of_a_clock_that_is_an_hour_fast_only_numbers_are_refused(instance: Instance) -> None:
    """Span and line of the next hour are kept; Prometheus refuses the total, and has all of it once the clock
    is right again.
    """
    instance.start("prometheus", "loki", "tempo", "gateway")
    gateway, future = instance.url("gateway", "otlp_http"), time.time() + HOUR
    trace_id, request = make_span("fast", at=future)
    post(gateway, "traces", request)
    post(gateway, "logs", make_log("fast", at=future))
    post(gateway, "logs", make_log("right"))
    post(gateway, "metrics", make_total("fast", 5, at=future))
    wait_until(lambda: has_trace(instance, trace_id), "the span")
    wait_until(lambda: {"fast", "right"} <= find_lines(instance), "the lines")
    assert_told(instance, "gateway", DROPPED, "/api/v1/otlp/v1/metrics responded with HTTP Status Code 400")
    post(gateway, "metrics", make_total("fast", 7))
    wait_until(lambda: find_total(instance, "fast_total") == 7, "the total of a right clock")


@pytest.mark.parametrize(
    "hours, words", [(3, "timestamp too new"), (-25, "entry too far behind")], ids=["ahead", "behind"]
)
def test_a_clock_that_is_farther_off_than_loki_takes_costs_its_lines(
    instance: Instance, hours: float, words: str
) -> None:
    """Three hours ahead, or 25 behind what the service has said already: told, counted, and others go on."""
    instance.start("loki", "gateway")
    gateway = instance.url("gateway", "otlp_http")
    post(gateway, "logs", make_log("right"))
    wait_until(lambda: find_lines(instance) == {"right"}, "the right line")
    post(gateway, "logs", make_log("wrong", at=time.time() + hours * HOUR))
    assert_told(instance, "gateway", DROPPED, words)
    assert read_counter(instance, "gateway", "otelcol_exporter_send_failed_log_records") == 1
    post(gateway, "logs", make_log("later"))
    wait_until(lambda: find_lines(instance) == {"right", "later"}, "the later line")


# --- a disk that is full


def test_a_gateway_whose_disk_is_full_refuses_and_keeps_what_it_took(
    make_instance: MakeInstance, mount_small: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    """Senders hear 503, the refusals count, the process lives; what was taken before comes to Tempo."""
    disk = mount_small(tmp_path / "queue", 2_000_000)
    instance = make_instance(environment={"TASKSCOPE_GATEWAY_QUEUE": str(disk)})
    instance.start("gateway")
    taken, refused = [], 0
    while refused < 5:
        trace_id, request = make_span("large", filling=100_000)
        answer = post(instance.url("gateway", "otlp_http"), "traces", request)
        if answer.status == 200:
            taken.append(trace_id)
        else:
            assert (answer.status, b"no space left on device" in answer.body) == (503, True), answer
            refused += 1
        assert len(taken) < 100, "the disk never filled"
    assert_told(instance, "gateway", "Exporting failed. Rejecting data.", "no space left on device")
    assert read_counter(instance, "gateway", "otelcol_receiver_refused_spans") == refused
    assert len(taken) > 3
    instance.start("tempo")
    wait_until(lambda: all(has_trace(instance, one) for one in taken), "all that was taken")
    trace_id, request = make_span("later")
    assert post(instance.url("gateway", "otlp_http"), "traces", request).status == 200
    wait_until(lambda: has_trace(instance, trace_id), "a span of later")


def test_a_loki_whose_disk_is_full_makes_the_gateway_wait(
    make_instance: MakeInstance, mount_small: Callable[[Path, int], Path]
) -> None:
    """Lines wait in the gateway's queue until there is room; what Loki took meanwhile outlives a kill once it
    was told to flush.
    """
    instance = make_instance()
    disk = mount_small(instance.folder / "data" / "loki", 3_000_000)
    instance.start("loki", "gateway")
    gateway = instance.url("gateway", "otlp_http")
    bodies = [f"line {number}" for number in range(10)]
    ballast = fill(disk)
    post(gateway, "logs", make_log(bodies[0]))
    assert_told(instance, "loki", "disk usage exceeded threshold, throttling writes")
    for body in bodies[1:]:
        assert post(gateway, "logs", make_log(body)).status == 200
    assert_told(instance, "gateway", RETRIED, "HTTP Status Code 503", "Ingester is shutting down")
    ballast.unlink()
    wait_until(lambda: find_lines(instance) == set(bodies), "all lines")
    assert DROPPED not in instance.log("gateway").read_text()
    flush = urllib.request.Request(f"{instance.url('loki')}/flush", method="POST")
    with urllib.request.urlopen(flush, timeout=30) as answer:
        assert answer.status == 204
    wait_until(lambda: any((disk / "chunks").rglob("*")), "chunks on the disk")
    instance.kill("loki")
    instance.start("loki")
    wait_until(lambda: find_lines(instance) == set(bodies), "all lines after a kill")


def test_a_tempo_whose_disk_is_full_finds_nothing_until_there_is_room(
    make_instance: MakeInstance, mount_small: Callable[[Path, int], Path]
) -> None:
    """It says yes and that it is ready; once there is room all is found, and a kill before that loses it."""
    instance = make_instance()
    disk = mount_small(instance.folder / "data" / "tempo", 3_000_000)
    instance.start("tempo", "gateway")

    def send(*names: str) -> list[str]:
        """What is taken to Tempo, by the gateway's word."""
        spans = [make_span(name) for name in names]
        sent = count_sent() + len(spans)
        for _, request in spans:
            assert post(instance.url("gateway", "otlp_http"), "traces", request).status == 200
        wait_until(lambda: count_sent() == sent, "a yes to all")
        return [trace_id for trace_id, _ in spans]

    def count_sent() -> float:
        sent = "otelcol_exporter_sent_spans"
        return read_counter(instance, "gateway", sent, exporter="otlp_grpc/tempo")

    def has(trace_ids: list[str]) -> list[bool]:
        return [has_trace(instance, one) for one in trace_ids]

    ballast = fill(disk)
    kept = send("kept", "kept too")
    assert_told(instance, "tempo", "failed to cut traces", "no space left on device")
    wait_until(lambda: has(kept) == [False, False], "nothing found")
    with urllib.request.urlopen(f"{instance.url('tempo')}/ready", timeout=30) as answer:
        assert answer.status == 200
    ballast.unlink()
    wait_until(lambda: has(kept) == [True, True], "all that was sent")
    ballast = fill(disk)
    lost = send("lost", "lost too")
    wait_until(lambda: has(lost) == [False, False], "nothing found")
    instance.kill("tempo")
    ballast.unlink()
    instance.start("tempo")
    later = send("later")
    wait_until(lambda: has(later) == [True], "a span of later")
    assert has(lost) == [False, False]


def test_a_prometheus_whose_disk_is_full_says_yes_to_what_it_does_not_keep(
    make_instance: MakeInstance, mount_small: Callable[[Path, int], Path]
) -> None:
    """The gateway counts the total as sent and it is nowhere; once there is room the next total has all."""
    instance = make_instance()
    disk = mount_small(instance.folder / "data" / "prometheus", 1_000_000)
    instance.start("prometheus", "gateway")
    gateway, sent = instance.url("gateway", "otlp_http"), "otelcol_exporter_sent_metric_points"
    ballast = fill(disk)
    assert_told(instance, "prometheus", "write to WAL", "no space left on device")
    post(gateway, "metrics", make_total("held", 5))
    wait_until(lambda: read_counter(instance, "gateway", sent, exporter="otlp_http/prometheus") == 1, "a yes")
    assert find_total(instance, "held_total") is None
    ballast.unlink()
    post(gateway, "metrics", make_total("held", 6))
    wait_until(lambda: find_total(instance, "held_total") == 6, "the next total")


def test_the_health_of_a_host_whose_disk_is_full_names_the_disk(
    mount_small: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    """In the words of the page, and with an exit code that says no."""
    home = mount_small(tmp_path / "home", 20_000_000)
    fill(home)
    command = [sys.executable, "-m", "taskscope", "health"]
    ended = subprocess.run(
        command, env=environment(home), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "fail  disk" in ended.stdout
    assert "`fail  disk`" in PAGE.read_text()


# --- a wrong certificate, a wrong token


class Guarded:
    """The two tiers with TLS and a token between them; what is wrong is put in before `start`."""

    def __init__(self, tls: Tls, make_instance: MakeInstance, *more: Path) -> None:
        self.authority = Path(tls.environment["TASKSCOPE_AGENT_TLS"], "gateway-ca.pem")
        """The file of the agent tier that says whom it trusts."""
        self.certificate = Path(tls.environment["TASKSCOPE_GATEWAY_TLS"], "gateway.pem")
        self.instance = make_instance(
            configs={
                "gateway": (*find_collector_configs("gateway", "tls"), *more),
                "agent": find_collector_configs("agent", "tls-agent"),
            },
            environment=tls.environment,
        )
        for protocol in ("grpc", "http"):
            address = self.instance.address("gateway", f"otlp_{protocol}")
            self.instance.environment[f"TASKSCOPE_GATEWAY_TLS_{protocol.upper()}"] = address

    def send(self) -> None:
        trace_id_and_request = make_span("guarded")
        assert post(self.instance.url("agent", "otlp_http"), "traces", trace_id_and_request[1]).status == 200

    def accepted(self) -> float:
        return read_counter(self.instance, "gateway", "otelcol_receiver_accepted_spans")


def write_expired(certificate: Path) -> None:
    """Put a certificate in its place that ended yesterday, by its own key."""
    key = certificate.with_name(f"{certificate.stem}-key.pem")
    asked = ["openssl", "req", "-new", "-key", str(key), "-subj", "/CN=gateway"]
    request = subprocess.run(asked, check=True, capture_output=True).stdout
    signed = ["openssl", "x509", "-req", "-signkey", str(key), "-days", "-1", "-out", str(certificate)]
    subprocess.run(signed, input=request, check=True, capture_output=True)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return make_tls(tmp_path)


@pytest.fixture
def guarded(tls: Tls, make_instance: MakeInstance) -> Guarded:
    return Guarded(tls, make_instance)


def test_with_the_right_certificates_and_token_it_arrives(guarded: Guarded) -> None:
    """The control of those that follow."""
    guarded.instance.start("gateway", "agent")
    guarded.send()
    wait_until(lambda: guarded.accepted() == 1, "the span at the gateway")


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("authority", "certificate signed by unknown authority"),
        ("expired", "certificate has expired or is not yet valid"),
    ],
)
def test_a_wrong_certificate_is_told_and_the_span_waits(
    guarded: Guarded, tls: Tls, wrong: str, words: str
) -> None:
    """Nothing gets through, nothing is lost: with the right ones, and a restart, the span arrives."""
    right = guarded.authority.read_bytes(), guarded.certificate.read_bytes()
    if wrong == "authority":
        shutil.copy(tls.stranger, guarded.authority)
    else:
        write_expired(guarded.certificate)
        shutil.copy(guarded.certificate, guarded.authority)
    guarded.instance.start("gateway", "agent")
    guarded.send()
    assert_told(guarded.instance, "agent", RETRIED, words)
    assert guarded.accepted() == 0
    guarded.authority.write_bytes(right[0])
    guarded.certificate.write_bytes(right[1])
    guarded.instance.restart("gateway", "agent")
    wait_until(lambda: guarded.accepted() == 1, "the span at the gateway")


def test_a_wrong_token_loses_spans_and_counts_them(guarded: Guarded) -> None:
    """The gateway's no is for good: the agent tier drops the span, says so and counts it."""
    guarded.instance.start("gateway")
    guarded.instance.environment["TASKSCOPE_GATEWAY_TOKEN"] = "another"
    guarded.instance.start("agent")
    guarded.send()
    assert_told(
        guarded.instance, "agent", DROPPED, "provided authorization does not match expected scheme or token"
    )
    assert read_counter(guarded.instance, "agent", "otelcol_exporter_send_failed_spans") == 1
    assert guarded.accepted() == 0


def read_example(language: str) -> str:
    """The only example of a language in the section about certificates and tokens."""
    section = PAGE.read_text().partition("## A certificate or a token is wrong")[2].partition("\n## ")[0]
    (example,) = re.findall(rf"(?ms)^```{language}\n(.*?)^```", section)
    return str(example)


@pytest.mark.parametrize("token, said", [(TOKEN, "200"), ("another", "401")])
def test_a_token_can_be_asked_about_before_the_agent_tier_starts(
    guarded: Guarded, token: str, said: str
) -> None:
    """By the command of the page, which sends no record."""
    guarded.instance.start("gateway")
    address = guarded.instance.address("gateway", "otlp_http")
    command = read_example("sh").replace("gateway.example:24318", address)
    environment = {**guarded.instance.environment, "TASKSCOPE_GATEWAY_TOKEN": token}
    asked = subprocess.run(
        ["sh", "-ec", command], env=environment, capture_output=True, text=True, check=True
    )
    assert asked.stdout.rpartition(" ")[2] == f"{said}\n"
    assert guarded.accepted() == 0


def test_a_token_is_changed_without_loss(tls: Tls, make_instance: MakeInstance, tmp_path: Path) -> None:
    """With the file of the page the gateway takes the old one and the new one, and no other."""
    both = tmp_path / "both.yaml"
    both.write_text(read_example("yaml"))
    guarded = Guarded(tls, make_instance, both)
    guarded.instance.environment["TASKSCOPE_GATEWAY_NEXT_TOKEN"] = "next"
    guarded.instance.start("gateway", "agent")
    guarded.send()
    wait_until(lambda: guarded.accepted() == 1, "the span with the old token")
    guarded.instance.environment["TASKSCOPE_GATEWAY_TOKEN"] = "next"
    guarded.instance.restart("agent")
    guarded.send()
    wait_until(lambda: guarded.accepted() == 2, "the span with the new token")
    guarded.instance.environment["TASKSCOPE_GATEWAY_TOKEN"] = "another"
    guarded.instance.restart("agent")
    guarded.send()
    assert_told(guarded.instance, "agent", DROPPED)
    assert guarded.accepted() == 2


# --- a variable that is missing


@pytest.mark.parametrize(
    "variable, words",
    [
        ("TASKSCOPE_GATEWAY_TOKEN", "no bearer token provided"),
        ("TASKSCOPE_GATEWAY_TLS", "failed to load TLS cert and key"),
    ],
)
def test_a_missing_variable_keeps_the_gateway_down(guarded: Guarded, variable: str, words: str) -> None:
    """It names the variable and what it lacks, and does not listen without protection."""
    del guarded.instance.environment[variable]
    with pytest.raises(StackError, match=words):
        guarded.instance.start("gateway")
    assert_told(guarded.instance, "gateway", "Configuration references unset environment variable", variable)
    assert_told(guarded.instance, "gateway", words)
    assert not guarded.instance.is_running("gateway")


def test_an_address_that_is_none_keeps_the_gateway_down(make_instance: MakeInstance) -> None:
    """A variable that is set to something else than an address is told by the exporter that needs it."""
    instance = make_instance(environment={"TASKSCOPE_TEMPO_OTLP_GRPC": "tempo"})
    with pytest.raises(StackError, match="missing port in address"):
        instance.start("gateway")
    assert_told(instance, "gateway", "otlp_grpc/tempo", "missing port in address")
