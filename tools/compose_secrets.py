"""Writes what docker-compose.yml needs of this host into `.env`, for its owner alone: `make compose-secrets`.

A password for Grafana, and the user who owns the repositories that the agent works on. What stands there
already stays: Grafana keeps the first password in its volume, and another one here would only be wrong.
"""

import os
import secrets
import sys
from pathlib import Path

ENV = Path(__file__).resolve().parent.parent / ".env"
PASSWORD = "GRAFANA_ADMIN_PASSWORD"  # noqa: S105  its name
_PASSWORD_BYTES = 24


def main(path: Path = ENV) -> int:
    """Add what is missing; 0, and a line that says what stands there now."""
    given = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {line.partition("=")[0].removeprefix("export ").strip() for line in given.splitlines()}
    missing = {name: value for name, value in _make_values().items() if name not in known}
    if missing:
        lines = "".join(f"{name}={value}\n" for name, value in missing.items())
        _write(path, given + ("\n" if given and not given.endswith("\n") else "") + lines)
    path.chmod(0o600)
    made = "made" if PASSWORD in missing else "kept"
    sys.stdout.write(f"compose-secrets: {made} the password of Grafana's user admin: {PASSWORD} in {path}\n")
    return 0


def _make_values() -> dict[str, str]:
    values = {PASSWORD: secrets.token_urlsafe(_PASSWORD_BYTES)}
    if os.getuid():  # the container of root is not root's: nothing runs as root that need not
        values["CONTAINER_UID"] = str(os.getuid())
    return values


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole: nobody reads half of it, nor any of it before its mode is right."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
