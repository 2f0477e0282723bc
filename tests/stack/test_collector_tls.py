"""TLS and authentication: who gets in, and that the overlay does not start without both."""

from __future__ import annotations

import http
import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from stack.errors import NotReadyError
from stack.programs import find_collector_configs

from .senders import SIGNALS, Sender, Span, encode_spans
from .sinks import Sinks
from .tls import TOKEN, Tls, make_tls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stack.instance import Instance

    from .conftest import MakeInstance

NOTHING: dict[str, set[str]] = {signal: set() for signal in SIGNALS}


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return make_tls(tmp_path)


def build_secured(make_instance: MakeInstance, environment: Mapping[str, str]) -> Instance:
    """An instance with both overlays, on loopback: which hosts a test may bind is not ours to say."""
    configs = {
        "gateway": find_collector_configs("gateway", "tls"),
        "agent": find_collector_configs("agent", "tls-agent"),
    }
    instance = make_instance(configs=configs, environment=environment)
    instance.environment |= {
        "TASKSCOPE_GATEWAY_TLS_GRPC": instance.address("gateway", "otlp_grpc"),
        "TASKSCOPE_GATEWAY_TLS_HTTP": instance.address("gateway", "otlp_http"),
    }
    return instance


def offer(instance: Instance, context: ssl.SSLContext | None, token: str | None) -> int | None:
    """The status that a sender hears from the gateway; None when the connection ends before there is one."""
    scheme = "http" if context is None else "https"
    request = urllib.request.Request(
        f"{scheme}://{instance.address('gateway', 'otlp_http')}/v1/traces",
        encode_spans([Span()]),
        {"Content-Type": "application/x-protobuf", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


def trust(tls: Tls, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client that trusts the authority and shows this certificate, by its key."""
    context = ssl.create_default_context(cafile=str(tls.authority))
    if own is not None:
        context.load_cert_chain(own[0], own[1])
    return context


def test_only_a_sender_with_certificate_and_token_gets_in(make_instance: MakeInstance, tls: Tls) -> None:
    """Both are needed; the agent tier has both, and its records arrive."""
    instance = build_secured(make_instance, tls.environment)
    with Sinks(instance) as sinks:
        instance.start("gateway", "agent")
        own, strange = (tls.certificate, tls.key), (tls.stranger, tls.stranger_key)
        assert offer(instance, trust(tls, own), TOKEN) == http.HTTPStatus.OK
        assert offer(instance, trust(tls, own), None) == http.HTTPStatus.UNAUTHORIZED
        assert offer(instance, trust(tls, own), "another-token") == http.HTTPStatus.UNAUTHORIZED
        for context in (trust(tls), trust(tls, strange)):
            assert offer(instance, context, TOKEN) is None
        assert offer(instance, None, TOKEN) == http.HTTPStatus.BAD_REQUEST
        sender = Sender(instance.url("agent", "otlp_http"))
        sender.send(1)
        assert sinks.wait_for(sender.sent) == NOTHING


def test_an_agent_tier_sends_nothing_to_a_gateway_that_it_does_not_trust(
    make_instance: MakeInstance, tls: Tls
) -> None:
    """With another authority's certificate in place of the gateway's, the records wait."""
    instance = build_secured(make_instance, tls.environment)
    folder = tls.authority.parent / "gateway"
    (folder / "gateway.pem").write_bytes(tls.stranger.read_bytes())
    (folder / "gateway-key.pem").write_bytes(tls.stranger_key.read_bytes())
    with Sinks(instance) as sinks:
        instance.start("gateway", "agent")
        Sender(instance.url("agent", "otlp_http")).send(1)
        assert "certificate signed by unknown authority" in wait_for_log(instance, "agent", "x509")
        assert sinks.count() == {signal: {} for signal in SIGNALS}


def wait_for_log(instance: Instance, name: str, word: str, patience: float = 30.0) -> str:
    """The first line of a program's log with a word in it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        for line in instance.log(name).read_text(errors="replace").splitlines():
            if word in line:
                return line
        time.sleep(0.05)
    pytest.fail(f"no {word!r} in the log of the {name}")


@pytest.mark.parametrize("left_out", ["TASKSCOPE_GATEWAY_TLS", "TASKSCOPE_GATEWAY_TOKEN"])
@pytest.mark.parametrize("how", ["unset", "empty"])
def test_the_gateway_does_not_bind_other_hosts_without_certificates_and_token(
    make_instance: MakeInstance, tls: Tls, left_out: str, how: str
) -> None:
    """Without one of the two it ends, before it listens."""
    environment = {**tls.environment, left_out: ""}
    instance = build_secured(make_instance, environment)
    if how == "unset":
        del instance.environment[left_out]
    with pytest.raises(NotReadyError, match="ended before it was ready"):
        instance.start("gateway")


@pytest.mark.parametrize("name", ["gateway.pem", "gateway-key.pem", "client-ca.pem"])
def test_the_gateway_does_not_start_with_a_part_of_its_certificates(
    make_instance: MakeInstance, tls: Tls, name: str
) -> None:
    """A missing authority of the senders is not an invitation to all."""
    (tls.authority.parent / "gateway" / name).unlink()
    instance = build_secured(make_instance, tls.environment)
    with pytest.raises(NotReadyError, match="ended before it was ready"):
        instance.start("gateway")
