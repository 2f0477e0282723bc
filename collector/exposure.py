"""What of a Collector other hosts reach, and whether it asks them for a certificate and a token.

The Collector itself says with what it would run (`print-config`): files merged, variables, `--set` and
defaults put in. Container networks whose ports are published on loopback alone need no such check.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml


class UnreadableError(ValueError):
    """The Collector cannot make a configuration of its arguments."""


class Listener(NamedTuple):
    """One thing that waits for connections."""

    place: str
    """Where in the configuration it stands."""
    address: str
    settings: Mapping[str, Any]

    @property
    def is_local(self) -> bool:
        """Whether only this host reaches it; a name other than localhost may be anywhere."""
        host = self.address.rpartition(":")[0].strip("[]") or "0.0.0.0"  # noqa: S104 - what an empty host means
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def lacks(self) -> list[str]:
        """What of certificates and token it does not ask for."""
        tls, auth = self.settings.get("tls") or {}, self.settings.get("auth") or {}
        has_certificates = all(tls.get(key) for key in ("cert_file", "key_file", "client_ca_file"))
        missing = [] if has_certificates else ["certificates of both sides"]
        return missing if auth.get("authenticator") else [*missing, "a token"]


def resolve(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that the Collector of this start line would run with; it is not started.

    UnreadableError with the Collector's own reason where there is none.
    """
    program, *arguments = command
    asked = subprocess.run(
        # Whether it is valid is for the start itself to say.
        [program, "print-config", "--validate=false", *arguments],
        env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if asked.returncode:
        raise UnreadableError(asked.stderr.strip())
    resolved: dict[str, Any] = yaml.safe_load(asked.stdout)
    return resolved


def find_listeners(config: Mapping[str, Any]) -> Iterator[Listener]:
    """All that listens: receivers, health, metrics to be scraped, the Collector's own."""
    for name, receiver in config["receivers"].items():
        for protocol, settings in (receiver.get("protocols") or {}).items():
            if settings:
                yield Listener(f"receivers/{name}/{protocol}", settings["endpoint"], settings)
    for kind, wanted in (("extensions", "health_check"), ("exporters", "prometheus")):
        for name, settings in config[kind].items():
            if name.partition("/")[0] == wanted:
                yield Listener(f"{kind}/{name}", settings["endpoint"], settings)
    for reader in config["service"]["telemetry"]["metrics"]["readers"]:
        own = reader.get("pull", {}).get("exporter", {}).get("prometheus")
        if own:
            yield Listener("service/telemetry/metrics", f"{own['host']}:{own['port']}", {})


def find_exposed(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A sentence for each listener that others would reach without certificate and token."""
    return [
        f"{one.place} listens at {one.address}, beyond this host, without {' and '.join(one.lacks)}; "
        "move it to 127.0.0.1, or let it ask for both as collector/overlays/tls.yaml does"
        for one in find_listeners(resolve(command, environment))
        if not one.is_local and one.lacks
    ]
