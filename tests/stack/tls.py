"""An authority, and certificates of both tiers in the folders that the overlays of TLS are told."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TOKEN: Final = "a-token-for-the-proof-only"
_DAYS: Final = "2"
_NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Tls(NamedTuple):
    """What the overlays are told, and what a sender of its own needs."""

    environment: dict[str, str]
    authority: Path
    certificate: Path
    """The agent tier's, and its key."""
    key: Path
    stranger: Path
    """A certificate of nobody's authority, and its key."""
    stranger_key: Path


def make_tls(folder: Path) -> Tls:
    """Make them anew; without openssl the test is skipped."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    gateway, agent = folder / "gateway", folder / "agent"
    gateway.mkdir()
    agent.mkdir()
    authority, authority_key = folder / "ca.pem", folder / "ca-key.pem"
    _make(authority, authority_key, "proof authority")
    for place, name in ((gateway, "gateway"), (agent, "agent")):
        _make(place / f"{name}.pem", place / f"{name}-key.pem", name, (authority, authority_key))
    shutil.copy(authority, gateway / "client-ca.pem")
    shutil.copy(authority, agent / "gateway-ca.pem")
    stranger, stranger_key = folder / "stranger.pem", folder / "stranger-key.pem"
    _make(stranger, stranger_key, "stranger")
    environment = {
        "TASKSCOPE_GATEWAY_TLS": str(gateway),
        "TASKSCOPE_AGENT_TLS": str(agent),
        "TASKSCOPE_GATEWAY_TOKEN": TOKEN,
    }
    return Tls(environment, authority, agent / "agent.pem", agent / "agent-key.pem", stranger, stranger_key)


def _make(certificate: Path, key: Path, name: str, signer: tuple[Path, Path] | None = None) -> None:
    """A certificate of 127.0.0.1, by an authority or, without one, by itself."""
    command = ["openssl", "req", "-x509", *_NEW_KEY, "-days", _DAYS, "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    if signer is not None:
        command += ["-CA", str(signer[0]), "-CAkey", str(signer[1]), "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)
