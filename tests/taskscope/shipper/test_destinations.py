"""Where telemetry goes: `OTEL_EXPORTER_OTLP_*` read as the specification has it."""

from __future__ import annotations

import pytest

from taskscope.shipper.destinations import parse_headers

from .deliveries import load

SECRET = "hunter2-hunter2"
BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def urls(**environ: str) -> dict[str, str]:
    """The endpoints of the one destination, by signal."""
    destinations, warnings = load(**environ)
    assert warnings == ()
    (one,) = destinations
    return {signal: endpoint.url for signal, endpoint in one.endpoints.items()}


@pytest.mark.parametrize("base", ["http://c:4318", "http://c:4318/", "HTTP://c:4318//"])
def test_a_base_gets_the_path_of_each_signal(base: str) -> None:
    """`/v1/traces` and its siblings are added to the general endpoint."""
    assert urls(**{BASE: base}) == {
        "traces": "http://c:4318/v1/traces",
        "logs": "http://c:4318/v1/logs",
        "metrics": "http://c:4318/v1/metrics",
    }


def test_a_base_keeps_its_own_path_and_query() -> None:
    """A prefix stays before, a query behind."""
    assert urls(**{BASE: "https://c/otlp/?tenant=a"})["traces"] == "https://c/otlp/v1/traces?tenant=a"


def test_a_signals_own_endpoint_is_used_as_it_is() -> None:
    """It goes before the general one, and only a missing path becomes `/`."""
    found = urls(
        **{
            BASE: "http://c:4318",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/custom",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://l:2",
        }
    )
    assert found == {
        "traces": "http://t:1/custom",
        "logs": "http://l:2/",
        "metrics": "http://c:4318/v1/metrics",
    }


def test_a_signal_without_an_endpoint_stays_here() -> None:
    """Only the signals that were given one leave; and none where nothing is set."""
    assert urls(OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="http://l/v1/logs") == {"logs": "http://l/v1/logs"}
    assert load() == ((), ())


def test_an_exporter_of_none_keeps_a_signal_here() -> None:
    """OTEL_TRACES_EXPORTER=none and its siblings count for every destination."""
    environ = {BASE: "http://c", "OTEL_TRACES_EXPORTER": "none", "TASKSCOPE_DESTINATIONS": "b=http://b"}
    destinations, _ = load(**environ)
    assert [set(one.endpoints) for one in destinations] == [{"logs", "metrics"}] * 2


@pytest.mark.parametrize("protocol", ["grpc", "http/json", "nonsense"])
def test_a_protocol_that_is_not_spoken_is_refused_once(protocol: str) -> None:
    """Nothing is sent, and one sentence for all signals says what to do instead."""
    destinations, warnings = load(**{BASE: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert destinations == ()
    (sentence,) = warnings
    assert "unset it" in sentence
    assert "4318" in sentence


def test_a_signals_protocol_goes_before_the_general_one() -> None:
    """The same order as for every other variable."""
    environ = {BASE: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    destinations, warnings = load(**environ, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="http/protobuf")
    assert [set(one.endpoints) for one in destinations] == [{"logs"}]
    assert len(warnings) == 1


def test_headers_are_decoded() -> None:
    """Percent-encoding is undone, white space is dropped, and a value may hold `=`."""
    destinations, warnings = load(
        **{BASE: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20YTpi , x-tenant = a=b,"}
    )
    assert warnings == ()
    assert destinations[0].endpoints["logs"].headers == {"authorization": "Basic YTpi", "x-tenant": "a=b"}


@pytest.mark.parametrize(
    "entry",
    [
        SECRET,
        f"={SECRET}",
        f"two words={SECRET}",
        f"x-a={SECRET}%0d%0aX-Evil:%201",
        f"x-a={SECRET}%00",
        f"content-type={SECRET}",
        f"x-a=\u20ac{SECRET}",
    ],
)
def test_a_wrong_header_is_left_out_and_not_shown(entry: str) -> None:
    """One sentence names it by its number and never shows its value; the others stay."""
    environ = {BASE: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": f"a=1,{entry},b=2"}
    destinations, (sentence,) = load(**environ)
    assert destinations[0].endpoints["traces"].headers == {"a": "1", "b": "2"}
    assert "OTEL_EXPORTER_OTLP_HEADERS: entry 2" in sentence
    assert SECRET not in sentence
    assert SECRET not in repr(destinations)


def test_no_headers_are_no_complaint() -> None:
    """An empty variable is an unset one."""
    assert parse_headers("", lambda *_: pytest.fail("nothing is wrong")) == {}


@pytest.mark.parametrize(
    "text, seconds",
    [("5000", 5.0), ("250", 0.25), ("10", 10.0), ("0.5", 0.5), ("99999999", 300.0)],
)
def test_a_timeout_is_milliseconds(text: str, seconds: float) -> None:
    """As the specification says; a number so small that it can only mean seconds means those."""
    destinations, warnings = load(**{BASE: "http://c", "OTEL_EXPORTER_OTLP_TIMEOUT": text})
    assert (destinations[0].endpoints["traces"].timeout_s, warnings) == (seconds, ())


@pytest.mark.parametrize(
    "name, text",
    [("TIMEOUT", "soon"), ("TIMEOUT", "-1"), ("TIMEOUT", "nan"), ("TIMEOUT", "0"), ("COMPRESSION", "zstd")],
)
def test_a_wrong_value_leaves_the_default(name: str, text: str) -> None:
    """It is told in one sentence with the value, and what is allowed."""
    destinations, (sentence,) = load(**{BASE: "http://c", f"OTEL_EXPORTER_OTLP_{name}": text})
    endpoint = destinations[0].endpoints["traces"]
    assert (endpoint.timeout_s, endpoint.is_compressed) == (10.0, True)
    assert repr(text) in sentence
    assert "expected" in sentence


def test_each_variable_may_be_given_for_one_signal() -> None:
    """Compression, certificate and keys of one signal leave the others as they are."""
    destinations, _ = load(
        **{
            BASE: "https://c",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
            "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/logs.pem",
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE": "/c.pem",
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY": "/k.pem",
            "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "none",
        }
    )
    logs, traces = destinations[0].endpoints["logs"], destinations[0].endpoints["traces"]
    assert (logs.certificate, logs.client_certificate, logs.client_key) == ("/logs.pem", "/c.pem", "/k.pem")
    assert (traces.certificate, traces.client_certificate) == ("/ca.pem", None)
    assert (logs.is_compressed, traces.is_compressed) == (False, True)


def test_further_destinations_get_nothing_that_is_not_theirs() -> None:
    """They have names and URLs of their own; headers and certificates of OTEL_* are for another backend."""
    destinations, warnings = load(
        **{
            BASE: "http://c:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
            "TASKSCOPE_DESTINATIONS": "tempo=http://t:4318, cloud=https://ann:p%40ss@cloud.example/otlp",
        }
    )
    assert warnings == ()
    assert [one.name for one in destinations] == ["otlp", "tempo", "cloud"]
    tempo, cloud = (one.endpoints["traces"] for one in destinations[1:])
    assert (tempo.url, tempo.headers, tempo.certificate) == ("http://t:4318/v1/traces", {}, None)
    assert cloud.url == "https://cloud.example/otlp/v1/traces"
    assert cloud.headers == {"authorization": "Basic YW5uOnBAc3M="}
