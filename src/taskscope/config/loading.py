"""From sources to one frozen `Settings`, with everything that is wrong said at once.

Our own commands: environment > `.env` > `.agent.yml` > default, from the folder of the call. A host
program: its environment alone, OTEL_* and TASKSCOPE_* only, and wrong values never stop it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskscope.errors import SettingsError

from .kinds import Place
from .settings import HOME_NAME, TABLE, Setting, Settings
from .sources import Found, read_agent_file, read_env_file, read_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE)S?$", re.IGNORECASE)
_HEADERS_NAME = re.compile(r"^OTEL_EXPORTER_OTLP_(?:[A-Z]+_)?HEADERS$")
_SHORTEST_SECRET = 8
"""Characters: blanking each `1` or `test` of a text would hide what happened, and protect nothing."""
_CREDENTIALS = re.compile(r"//[^/?#\s]*@")
_SHOWN = 80


def load_settings(folder: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of our own commands, called in `folder` (default: the current one).

    Raises SettingsError that names each wrong value with its source and what is allowed.
    """
    environ = os.environ if environ is None else environ
    folder = _current_folder() if folder is None else folder.absolute()
    env_file, warnings = read_env_file(folder / ".env")
    agent_file, violations = read_agent_file(folder / ".agent.yml")
    environment = read_environment(environ)
    values = _parse(
        {row.name: _first(row, environment, env_file, agent_file) for row in TABLE},
        _place(folder, environ),
        violations,
    )
    _report_unknown_keys(agent_file, violations)
    if violations:
        raise SettingsError(violations)
    values.setdefault("home", _place(folder, environ).user_home / HOME_NAME)
    values.setdefault("allowed_roots", (folder,))
    everything = {name: found.text for name, found in {**env_file, **environment}.items()}
    return Settings(
        **values,
        warnings=(*warnings, *_misspelt(everything)),
        otel_variables={
            n: f.text for n, f in env_file.items() if n.startswith("OTEL_") and n not in environment
        },
        known_secrets=_known_secrets(everything, values),
    )


def load_host_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a host program: OTEL_* and TASKSCOPE_* of its environment only.

    A wrong value is logged (logger `taskscope.config`) and its default stands, as the OpenTelemetry
    specification demands of environment variables; a host never hears an exception from here.
    """
    environ = os.environ if environ is None else environ
    environment = read_environment(environ)
    violations: dict[str, str] = {}
    found = {row.name: _first_of(row.variables(is_host=True), environment) for row in TABLE}
    place = _place(_current_folder(), environ)
    values = _parse(found, place, violations)
    values.setdefault("home", place.user_home / HOME_NAME)
    values.setdefault("service_name", _resource_service_name(environ) or _unknown_service())
    warnings = (*(f"{name}: {reason}" for name, reason in violations.items()), *_misspelt(environ))
    for warning in warnings:
        logging.getLogger("taskscope.config").warning("%s", warning)
    return Settings(**values, warnings=warnings, known_secrets=_known_secrets(environ, values))


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values, eight characters or longer, of variables named *KEY, *TOKEN, *SECRET or *PASSWORD.

    Headers for OTLP exporters (`name=value,...`) count too.
    """
    values = [text for name, text in environ.items() if _SECRET_NAME.search(name)]
    for name, text in environ.items():
        if _HEADERS_NAME.match(name):
            values += [pair.partition("=")[2].strip() for pair in text.split(",")]
    return tuple(dict.fromkeys(value for value in values if len(value) >= _SHORTEST_SECRET))


def _first(
    row: Setting,
    environment: Mapping[str, Found],
    env_file: Mapping[str, Found],
    agent_file: Mapping[str, Found],
) -> Found | None:
    variables = row.variables(is_host=False)
    return _first_of(variables, environment) or _first_of(variables, env_file) or agent_file.get(row.key)


def _first_of(names: Iterable[str], source: Mapping[str, Found]) -> Found | None:
    return next((source[name] for name in names if name in source), None)


def _parse(found: Mapping[str, Found | None], place: Place, violations: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for row in TABLE:
        value = found[row.name]
        if value is None:
            continue
        try:
            if value.is_list and not row.kind.is_list:
                raise ValueError  # noqa: TRY301  the same refusal as a parser's
            values[row.name] = row.kind.parse(value.text.strip(), place)
        except ValueError:
            violations[row.key] = (
                f"{_shown(row, value.text)} from {value.source} is not allowed; expected {row.kind.allowed}"
            )
    return values


def _shown(row: Setting, text: str) -> str:
    if row.is_secret:
        return "a hidden value"
    if row.kind.is_url:
        text = _CREDENTIALS.sub("//[hidden]@", text)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted under us: no file there, and relative paths start at the root
        return Path("/")


def _place(folder: Path, environ: Mapping[str, str]) -> Place:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  Path.home() raises where there is none
    return Place(folder, home if home.is_absolute() else folder)


def _report_unknown_keys(agent_file: Mapping[str, Found], violations: dict[str, str]) -> None:
    known = {row.key for row in TABLE}
    for key, found in agent_file.items():
        if key not in known:
            near = _nearest(key.lower().replace("-", "_"), known)
            hint = f"; did you mean {near!r}?" if near else "; docs/settings.md lists the known ones"
            violations[f"{key} ({found.source})"] = f"no such setting{hint}"


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Say which TASKSCOPE_* variables look like a known one; others may be another version's and pass."""
    known = {row.variable for row in TABLE}
    unknown = sorted(name for name in environ if name.startswith("TASKSCOPE_") and name not in known)
    near = {name: _nearest(name, known) for name in unknown}
    return [
        f"{name} is not a setting and was ignored; did you mean {near[name]}?"
        for name in unknown
        if near[name]
    ]


def _nearest(name: str, known: set[str]) -> str | None:
    from difflib import get_close_matches  # needed only where something is misspelt

    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.8)), None)


def _known_secrets(variables: Mapping[str, str], values: Mapping[str, Any]) -> tuple[str, ...]:
    own = [values[row.name] for row in TABLE if row.is_secret and row.name in values]
    return tuple(dict.fromkeys([*secret_values(variables), *own]))


def _resource_service_name(environ: Mapping[str, str]) -> str | None:
    pairs = (pair.partition("=") for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    return next(
        (value.strip() for name, _, value in pairs if name.strip() == "service.name" and value.strip()), None
    )


def _unknown_service() -> str:
    return f"unknown_service:{Path(sys.executable).name}" if sys.executable else "unknown_service"
