"""Asks a running Grafana whether all that it was given works: `python -m grafana.live`.

Its data sources, the queries of every panel, its alert rules, and that nobody gets in without the password.
For the Grafana of docker-compose.yml, by its HTTP API alone; what it was given is read from its provisioning.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

PROVISIONING: Final = Path(__file__).resolve().parent / "provisioning"
PASSWORD: Final = "GRAFANA_ADMIN_PASSWORD"  # noqa: S105  its name
_RANGE_S: Final = 3600
_POINTS: Final = 300
_SECONDS: Final = 30.0
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_EVERYTHING: Final = ".+"
"""What a variable stands for when it is not named: every value, in an expression."""


@dataclass
class Grafana:
    """Where it is, and who asks."""

    url: str
    password: str
    user: str = "admin"

    def ask(self, path: str, body: object = None, *, as_guest: bool = False) -> tuple[int, Any]:
        """Status and parsed answer (None when it is no JSON); OSError when nobody answers."""
        headers = {"Content-Type": "application/json"}
        if not as_guest:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310  the person names it
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  the same
                return answer.status, _parse(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, _parse(refused.read())


@dataclass
class Findings:
    """What was asked, and what was wrong."""

    faults: list[str] = field(default_factory=list)
    queries: int = 0
    empty: list[str] = field(default_factory=list)
    """Panels whose queries are right and give no row."""
    rules: int = 0


def main(arguments: list[str] | None = None) -> int:
    """Ask, and say what was found; 0 when nothing is wrong, 1 when something is."""
    parser = argparse.ArgumentParser(prog="python -m grafana.live", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:23000")
    parser.add_argument(
        "--variable", action="append", default=[], metavar="NAME=VALUE", help="such as task=..."
    )
    parser.add_argument("--filled", action="store_true", help="a panel without a row is a fault too")
    options = parser.parse_args(arguments)
    password = os.environ.get(PASSWORD, "")
    if not password:
        print(f"{PASSWORD} is not set; it stands in .env (make compose-secrets)", file=sys.stderr)
        return 2
    variables = dict(pair.split("=", 1) for pair in options.variable)
    try:
        found = check(Grafana(options.url.rstrip("/"), password), variables)
    except OSError as error:
        print(f"no Grafana at {options.url}: {error}", file=sys.stderr)
        return 3
    faults = found.faults + [f"{panel}: no row" for panel in found.empty if options.filled]
    for line in faults:
        print(line)
    print(f"{found.queries} queries, {len(found.empty)} panels without a row, {found.rules} alert rules")
    return 1 if faults else 0


def check(grafana: Grafana, variables: Mapping[str, str], provisioning: Path = PROVISIONING) -> Findings:
    """Ask everything."""
    found = Findings()
    found.faults += find_open_doors(grafana)
    found.faults += find_ill_sources(grafana, provisioning)
    for path in sorted((provisioning / "dashboards").rglob("*.json")):
        _check_dashboard(grafana, json.loads(path.read_text())["uid"], variables, found)
    _check_rules(grafana, provisioning, found)
    return found


def find_open_doors(grafana: Grafana) -> Iterator[str]:
    """Ways in without the password."""
    if grafana.ask("/api/search", as_guest=True)[0] != _UNAUTHORIZED:
        yield "a guest without a password is let in"
    if Grafana(grafana.url, "admin").ask("/api/search")[0] != _UNAUTHORIZED:
        yield "the password is admin"


def find_ill_sources(grafana: Grafana, provisioning: Path) -> Iterator[str]:
    """Data sources that are not there or do not reach their backend."""
    for path in sorted((provisioning / "datasources").glob("*.yaml")):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            status, answer = grafana.ask(f"/api/datasources/uid/{source['uid']}/health")
            if status != _OK or _get(answer, "status") != "OK":
                yield f"data source {source['uid']}: HTTP {status}, {_get(answer, 'message')}"


def _check_dashboard(grafana: Grafana, uid: str, variables: Mapping[str, str], found: Findings) -> None:
    status, answer = grafana.ask(f"/api/dashboards/uid/{uid}")
    if status != _OK:
        found.faults.append(f"dashboard {uid}: HTTP {status}")
        return
    page = answer["dashboard"]
    for panel in _walk(page["panels"]):
        name = f"{uid}, {panel.get('title', panel.get('id'))}"
        rows = 0
        for target in panel.get("targets", ()):
            found.queries += 1
            asked = {key: _fill(value, page, variables) for key, value in target.items()}
            fault, more = _query(grafana, asked)
            rows += more
            if fault:
                found.faults.append(f"{name}, {target.get('refId')}: {fault}")
        if panel.get("targets") and not rows:
            found.empty.append(name)


def _walk(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All panels, those of folded rows too."""
    for panel in panels:
        yield panel
        yield from _walk(panel.get("panels", []))


def _fill(value: Any, page: Mapping[str, Any], variables: Mapping[str, str]) -> Any:
    """A query's text with the page's variables; Grafana's own (`$__rate_interval`) are left to it."""
    if not isinstance(value, str):
        return value
    for variable in page.get("templating", {}).get("list", []):
        name = variable["name"]
        chosen = variables.get(name, variable.get("allValue") or _EVERYTHING)
        named = re.compile(rf"\$(?:{name}\b|\{{{name}(?::\w+)?\}})")
        value = named.sub(chosen.replace("\\", r"\\"), value)
    return value


def _query(grafana: Grafana, target: Mapping[str, Any]) -> tuple[str, int]:
    """What is wrong with a query, if anything, and how many rows it gave."""
    if target["datasource"]["uid"] == "tempo":
        return _query_tempo(grafana, target)
    query = {**target, "intervalMs": _RANGE_S * 1000 // _POINTS, "maxDataPoints": _POINTS}
    body = {"queries": [query], "from": f"now-{_RANGE_S}s", "to": "now"}
    status, answer = grafana.ask("/api/ds/query", body)
    result = (_get(answer, "results") or {}).get(target["refId"], {})
    if status != _OK or result.get("error"):
        return f"HTTP {status}, {result.get('error') or _get(answer, 'message')}", 0
    columns = (frame.get("data", {}).get("values") for frame in result.get("frames", ()))
    return "", sum(len(values[0]) for values in columns if values)


def _query_tempo(grafana: Grafana, target: Mapping[str, Any]) -> tuple[str, int]:
    """By Grafana's way to Tempo itself, as its pages ask: /api/ds/query takes no search."""
    text, now = target["query"], int(time.time())
    since = {"start": now - _RANGE_S, "end": now}
    if "metricsQueryType" in target:
        path = "/api/metrics/query_range?" + urllib.parse.urlencode({"q": text, **since})
    elif text.lstrip().startswith("{"):
        path = "/api/search?" + urllib.parse.urlencode({"q": text, **since})
    else:
        path = f"/api/traces/{urllib.parse.quote(text)}"
        if text == _EVERYTHING:
            return "", 0  # no trace was named, so that there is nothing to ask
    status, answer = grafana.ask(f"/api/datasources/proxy/uid/tempo{path}")
    if status != _OK:
        return f"HTTP {status}, {_get(answer, 'message')}", 0
    return "", sum(len(_get(answer, key) or ()) for key in ("traces", "series", "batches"))


def _check_rules(grafana: Grafana, provisioning: Path, found: Findings) -> None:
    """Every rule that was given is there, and none says that it cannot be evaluated."""
    groups = [
        group
        for path in sorted((provisioning / "alerting").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text()).get("groups", ())
    ]
    given = {rule["uid"] for group in groups for rule in group["rules"]}
    status, answer = grafana.ask("/api/v1/provisioning/alert-rules")
    known = {rule["uid"] for rule in answer} if status == _OK else set()
    found.rules = len(known)
    found.faults += [f"alert rule {uid}: not there" for uid in sorted(given - known)]
    _, answer = grafana.ask("/api/prometheus/grafana/api/v1/rules")
    for group in (_get(_get(answer, "data"), "groups")) or ():
        for rule in group["rules"]:
            if rule.get("health") == "error":
                found.faults.append(f"alert rule {rule['name']}: {rule.get('lastError')}")


def _get(answer: Any, key: str) -> Any:
    return answer.get(key) if isinstance(answer, dict) else None


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main())
