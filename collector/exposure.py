"""The check before a start: nobody beyond this host gets in without a certificate and a token.

`python -m collector.exposure --config=FILE ...`, with the arguments of the Collector, reads the files as it
does: merged, with the environment's variables. It names each listener that other hosts reach without both,
and fails when there is one. Container networks whose ports are published on loopback alone do not need it.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_VARIABLE = re.compile(r"\$\{env:(\w+)(?::-([^}]*))?\}")


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


def load(configs: Sequence[Path], environment: Mapping[str, str]) -> dict[str, Any]:
    """What the Collector makes of these files: maps merged, lists replaced, variables put in."""
    merged: dict[str, Any] = {}
    for path in configs:
        _merge(merged, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    expanded: dict[str, Any] = _expand(merged, environment)
    return expanded


def find_listeners(config: Mapping[str, Any]) -> Iterator[Listener]:
    """All that listens: receivers, health, metrics to be scraped, the Collector's own."""
    for name, receiver in config.get("receivers", {}).items():
        for protocol, settings in ((receiver or {}).get("protocols") or {}).items():
            yield _listener(f"receivers/{name}/{protocol}", settings)
    for name, extension in config.get("extensions", {}).items():
        if name.partition("/")[0] == "health_check":
            yield _listener(f"extensions/{name}", extension)
    for name, exporter in config.get("exporters", {}).items():
        if name.partition("/")[0] == "prometheus":
            yield _listener(f"exporters/{name}", exporter)
    telemetry = config.get("service", {}).get("telemetry", {}).get("metrics", {})
    for reader in telemetry.get("readers", ()):
        pulled = reader.get("pull", {}).get("exporter", {}).get("prometheus")
        if pulled:
            yield Listener("service/telemetry/metrics", f"{pulled.get('host', '')}:{pulled.get('port')}", {})


def find_exposed(configs: Sequence[Path], environment: Mapping[str, str]) -> list[str]:
    """A sentence for each listener that others reach without certificate and token."""
    return [
        f"{one.place} listens at {one.address}, beyond this host, without {' and '.join(one.lacks)}"
        for one in find_listeners(load(configs, environment))
        if not one.is_local and one.lacks
    ]


def _listener(place: str, settings: Mapping[str, Any] | None) -> Listener:
    settings = settings or {}
    # The default of receivers is loopback, and nothing of ours leaves an address out.
    return Listener(place, str(settings.get("endpoint", "localhost:0")), settings)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _expand(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(one, environment) for key, one in value.items()}
    if isinstance(value, list):
        return [_expand(one, environment) for one in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: environment.get(found[1], found[2] or ""), value)
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Name what is exposed; 1 when there is anything."""
    parser = argparse.ArgumentParser(prog="python -m collector.exposure", description=__doc__)
    parser.add_argument("--config", type=Path, action="append", required=True, help="as the Collector has it")
    exposed = find_exposed(parser.parse_args(arguments).config, os.environ)
    for sentence in exposed:
        print(f"refused: {sentence}; see overlays/tls.yaml", file=sys.stderr)
    return 1 if exposed else 0


if __name__ == "__main__":
    sys.exit(main())
