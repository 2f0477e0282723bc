"""The check before a start: what other hosts reach asks for certificate and token, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.exposure import find_exposed, find_listeners, load, main

ROOT = Path(__file__).resolve().parents[2]
COLLECTOR = ROOT / "collector"
GATEWAY = [COLLECTOR / "gateway.yaml", *sorted((COLLECTOR / "generated").glob("*.yaml"))]
AGENT = [COLLECTOR / "agent.yaml"]
OVERLAYS = COLLECTOR / "overlays"
SECURE = {"TASKSCOPE_GATEWAY_TLS": "/etc/taskscope", "TASKSCOPE_GATEWAY_TOKEN": "token"}
ADDRESSES = [
    "TASKSCOPE_GATEWAY_OTLP_GRPC",
    "TASKSCOPE_GATEWAY_OTLP_HTTP",
    "TASKSCOPE_GATEWAY_HEALTH",
    "TASKSCOPE_GATEWAY_DERIVED",
]


@pytest.mark.parametrize(
    "configs", [AGENT, GATEWAY, *([*GATEWAY, OVERLAYS / f"{name}.yaml"] for name in ("laptop", "scale"))]
)
def test_by_default_nothing_but_the_overlay_of_tls_is_reached_by_other_hosts(configs: list[Path]) -> None:
    """Every listener of every other configuration is on loopback."""
    listeners = list(find_listeners(load(configs, {})))
    assert len(listeners) >= 4
    assert all(listener.is_local for listener in listeners)


def test_the_overlay_of_tls_listens_beyond_this_host_and_asks_for_both() -> None:
    """It is allowed to, for it asks for both."""
    configs = [*GATEWAY, OVERLAYS / "tls.yaml"]
    remote = [one for one in find_listeners(load(configs, SECURE)) if not one.is_local]
    assert [one.place for one in remote] == ["receivers/otlp/grpc", "receivers/otlp/http"]
    assert find_exposed(configs, SECURE) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "[::]", "gateway.example", ""])  # noqa: S104
@pytest.mark.parametrize("variable", ADDRESSES)
def test_an_address_beyond_this_host_is_refused_without_both(variable: str, host: str) -> None:
    """Whichever listener is moved there by its variable."""
    (sentence,) = find_exposed(GATEWAY, {variable: f"{host}:24317"})
    assert "without certificates of both sides and a token" in sentence


@pytest.mark.parametrize(
    "left_out, said", [("client_ca_file:", "without certificates"), ("auth:", "without a token")]
)
def test_one_of_both_is_not_enough(tmp_path: Path, left_out: str, said: str) -> None:
    """TLS without certificates of the senders, or a token that anybody can try to guess."""
    lines = (OVERLAYS / "tls.yaml").read_text().splitlines()
    weakened = tmp_path / "weakened.yaml"
    weakened.write_text("\n".join(line for line in lines if not line.strip().startswith(left_out)))
    sentences = find_exposed([*GATEWAY, weakened], SECURE)
    assert len(sentences) == 2
    assert all(said in sentence for sentence in sentences)


def test_it_says_no_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that `&&` before the start is enough."""
    arguments = [f"--config={path}" for path in GATEWAY]
    assert main(arguments) == 0
    monkeypatch.setenv("TASKSCOPE_GATEWAY_OTLP_HTTP", "0.0.0.0:24318")
    assert main(arguments) == 1
    assert "receivers/otlp/http listens at 0.0.0.0:24318" in capsys.readouterr().err
