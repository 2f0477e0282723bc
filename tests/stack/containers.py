"""Services of docker-compose.yml without Docker: their commands, variables, mounts and names.

Each one is a real program in a mount namespace of its own, with a read-only root and without a capability.
All are in one network namespace, where the name of each service is another loopback address: who listens on
127.0.0.1 alone is not reached by the others, as in containers. For root on Linux; the images are Docker's to
prove.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
import yaml

from stack.places import ROOT
from stack.programs import find_binary
from stack.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOOLS: Final = ("unshare", "nsenter", "setpriv", "chroot", "ip", "wget")
_SCRIPTS: Final = Path(sys.executable).parent
_BINARIES: Final = {
    **dict.fromkeys(("agent", "gateway", "gateway-scale"), "taskscope-collector"),
    "nats": "nats-server",
}
_IMAGE_PATHS: Final = {"loki": "/usr/bin/loki"}
"""Where the image has a program that a health check calls by its path."""
_IMAGE_VARIABLES: Final = {
    "taskscope": {"AGENT_HOME": "/var/lib/taskscope", "AGENT_ALLOWED_ROOTS": "/repositories", "HOME": "/tmp"}
}
_FOLDERS: Final = {"taskscope": "/repositories"}
"""Both from the Dockerfile."""
_END_S: Final = 5.0
_ASK: Final = (
    "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1], timeout=10).read())"
)


class Containers:
    """The services that a test starts; all end with the block."""

    def __init__(self, folder: Path) -> None:
        if os.getuid() or any(shutil.which(tool) is None for tool in _TOOLS):
            pytest.skip(f"needs root on Linux, and {', '.join(_TOOLS)}")
        self._folder = folder
        self.services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._hosts = folder / "hosts"
        lines = [f"127.0.1.{number} {name}" for number, name in enumerate(self.services, start=1)]
        self._hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def __enter__(self) -> Self:
        script = "ip link set lo up && echo up && exec sleep infinity"
        command = ["unshare", "--net", "--", "sh", "-c", script]
        self._network = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._network.stdout is not None
        if self._network.stdout.readline() != b"up\n":
            self._network.communicate()
            pytest.skip("no network namespace may be made here")
        return self

    def __exit__(self, *_error: object) -> None:
        for process in [*reversed(self._running.values()), self._network]:
            process.terminate()
        for process in [*self._running.values(), self._network]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_END_S)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.communicate()

    def start(self, name: str) -> None:
        """Start a service as it stands in the file (or as `services` was changed to)."""
        log = (self._folder / f"{name}.log").open("wb")
        script = "\n".join(self._build_script(name))
        command = ["nsenter", f"--net=/proc/{self._network.pid}/ns/net", "unshare", "--mount", "sh", "-euc"]
        with log:
            self._running[name] = subprocess.Popen([*command, script], stdout=log, stderr=log)

    def read_log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec`: a command beside the service, in its root and with its variables."""
        target = ["nsenter", f"--target={self._running[name].pid}", "--net", "--mount", "--root", "--wd=/"]
        return subprocess.run(
            [
                *target,
                "env",
                "-i",
                f"--chdir={_FOLDERS.get(name, '/')}",
                *self._list_variables(name),
                *command,
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    def is_healthy(self, name: str, *, by: str | None = None) -> bool:
        """Whether the health check of a service passes, run by itself or by another one."""
        assert self._running[by or name].poll() is None, self.read_log(by or name)
        kind, *test = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(by or name, *test).returncode == 0

    def ask(self, url: str) -> Any:
        """The JSON of a URL, asked from among the services."""
        network = ["nsenter", f"--net=/proc/{self._network.pid}/ns/net"]
        by_name = url if "//127." in url else url.replace(*self._resolve(url))
        answer = subprocess.run(
            [*network, sys.executable, "-c", _ASK, by_name], capture_output=True, text=True, check=True
        )
        return json.loads(answer.stdout)

    def _resolve(self, url: str) -> tuple[str, str]:
        host = url.split("/")[2].partition(":")[0]
        line = next(line for line in self._hosts.read_text().splitlines() if line.split()[1] == host)
        return f"//{host}:", f"//{line.split()[0]}:"

    def _build_script(self, name: str) -> list[str]:
        """The mounts of a container, then the program in place of the shell."""
        top = self._folder / "roots" / name
        top.mkdir(parents=True)
        root = top / "root"
        service = self.services[name]
        mounts = [self._find_mount(volume) for volume in service.get("volumes", ())]
        mounts += [(self._hosts, "/etc/hosts", True), (ROOT / "stack" / "ask.py", "/usr/local/bin/ask", True)]
        if name in _IMAGE_PATHS:
            mounts.append((Path(self._find_program(name)[0]), _IMAGE_PATHS[name], True))
        lines = [
            f"mount -t tmpfs none {top}",
            f"mkdir {top}/up {top}/work {root}",
            f"mount -t overlay overlay -o lowerdir=/,upperdir={top}/up,workdir={top}/work {root}",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
        ]
        for place in service.get("tmpfs", ()):
            lines.append(f"mount -t tmpfs -o mode=1777 none {root}{place.partition(':')[0]}")
            lines.append(f"mkdir -p {root}{ROOT} && mount --rbind {ROOT} {root}{ROOT}")
        for source, target, is_fixed in mounts:
            make = "mkdir -p" if source.is_dir() else f"mkdir -p {root}{Path(target).parent} && touch"
            lines.append(f"{make} {root}{target} && mount --bind {source} {root}{target}")
            if is_fixed:
                lines.append(f"mount -o remount,bind,ro {root}{target}")
        lines.append(f"mount -o remount,ro {root}")
        confined = "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs"
        variables, program = (
            shlex.join(words) for words in (self._list_variables(name), self._find_command(name))
        )
        folder = _FOLDERS.get(name, "/")
        return [*lines, f"exec chroot {root} env -i --chdir={folder} {variables} {confined} {program}"]

    def _find_mount(self, volume: str) -> tuple[Path, str, bool]:
        source, target, *options = render(volume, {}).split(":")
        if source.startswith("./"):
            return (ROOT / source).resolve(), target, options == ["ro"]
        place = self._folder / "volumes" / source
        place.mkdir(parents=True, exist_ok=True)
        return place, target, False

    def _find_program(self, name: str) -> Sequence[str]:
        if name in {"taskscope", "chroma"}:
            return [str(_SCRIPTS / name)]
        return [str(find_binary(_BINARIES.get(name, name)))]

    def _find_command(self, name: str) -> list[str]:
        default = ["serve"] if name == "taskscope" else []
        return [*self._find_program(name), *self.services[name].get("command", default)]

    def _list_variables(self, name: str) -> list[str]:
        given: Mapping[str, str] = self.services[name].get("environment", {})
        values = {
            "PATH": f"{_SCRIPTS}:/usr/local/bin:{os.environ['PATH']}",
            **_IMAGE_VARIABLES.get(name, {}),
            **{key: render(value, {}) for key, value in given.items()},
        }
        return [f"{key}={value}" for key, value in values.items()]
