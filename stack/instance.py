"""A set of the programs on ports and in a folder of their own; several of them run side by side.

`make stack-up` starts one on the ports of ports.toml; each test and proof makes its own.
"""

from __future__ import annotations

import http
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from collector.exposure import UnreadableError, find_exposed

from .addresses import build_environment
from .errors import ExposedError, NotReadyError, PortInUseError, StackError
from .holders import describe_holder
from .places import PORTS
from .ports import HOST, Ports, ReservedPorts, is_free
from .process import Process
from .programs import PROGRAMS, build_command
from .rendering import render

USUAL: Final = ("prometheus", "loki", "tempo", "alertmanager", "gateway", "agent")
"""What is started when nothing is named."""

_POLL: Final = 0.05
_READY_PATIENCE: Final = 90.0
"""Loki and Tempo take 3 s; many at once on two cores take ten times that."""


class Instance:
    """Programs of one folder. As a context manager it kills all of them at its end, whoever started them.

    `configs`: other files than the usual, by program; a Collector merges several (maps merge, lists are
    replaced). `arguments`: more of them, by program. `environment`: more variables for all of them, such as
    those of an overlay. Without `ports` it reserves free ones. Nothing is started until `start`.
    """

    def __init__(
        self,
        folder: Path,
        ports: Ports | None = None,
        *,
        configs: Mapping[str, Sequence[Path]] | None = None,
        arguments: Mapping[str, Sequence[str]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._reserved = None if ports is not None else ReservedPorts()
        self.ports: Ports = self._reserved.ports if self._reserved else ports or {}
        self.configs = {name: tuple(program.configs) for name, program in PROGRAMS.items()}
        self.configs |= {name: tuple(given) for name, given in (configs or {}).items()}
        self.arguments = arguments or {}
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "GOMEMLIMIT": "1600MiB",  # Tempo takes what it gets
            **build_environment(self.ports, folder / "data"),
            **(environment or {}),
        }
        """What each program sees: nothing of the person's own but PATH."""
        self.processes = {name: Process(folder / "run", name) for name in PROGRAMS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all that runs and give the reserved ports back; the data stays in the folder."""
        self.kill(*PROGRAMS)
        if self._reserved is not None:
            self._reserved.release()

    def start(self, *names: str, wait: bool = True) -> None:
        """Start programs, in the order of `PROGRAMS` however they are named, and wait until they are ready.

        What runs already stays as it is. PortInUseError names who else listens where one of them would,
        ExposedError what of a Collector would be open to other hosts; nothing is started then.
        """
        started = [name for name in _in_order(names or USUAL) if self.processes[name].pid is None]
        for name in started:
            self._check_ports(name)
            self._check_exposure(name)
        for name in started:
            self._start_one(name)
        if wait:
            self.wait_ready(*started)

    def stop(self, *names: str) -> dict[str, bool]:
        """End programs by SIGTERM, who sends first; the answer tells of each whether it took SIGKILL.

        One that does not end in its time (`Program.patience`) is killed.
        """
        running = [name for name in reversed(_in_order(names or USUAL)) if self.is_running(name)]
        return {name: self.processes[name].end(signal.SIGTERM, PROGRAMS[name].patience) for name in running}

    def kill(self, *names: str) -> None:
        """End programs by SIGKILL, in the midst of what they do."""
        for name in names:
            self.processes[name].end(signal.SIGKILL, PROGRAMS[name].patience)

    def restart(self, *names: str) -> None:
        """End programs in order and start them on the data that they left."""
        self.stop(*names)
        self.start(*names)

    def reload(self, name: str) -> None:
        """Have Prometheus, Alertmanager or a Collector read its configuration again."""
        self._check_exposure(name)
        self._write_configs(name)
        self.processes[name].send(signal.SIGHUP)

    def is_running(self, name: str) -> bool:
        """Whether the process of a program lives."""
        return self.processes[name].pid is not None

    def is_ready(self, name: str) -> bool:
        """Whether a program answers that it is ready."""
        try:
            with urllib.request.urlopen(self._ready_url(name), timeout=2) as answer:  # noqa: S310 - ours
                return bool(answer.status == http.HTTPStatus.OK)
        except (OSError, urllib.error.URLError):
            return False

    def wait_ready(self, *names: str, patience: float = _READY_PATIENCE) -> None:
        """Wait until programs are ready; NotReadyError with the log of one that ended or is late."""
        deadline = time.monotonic() + patience
        for name in names or USUAL:
            while not self.is_ready(name):
                if not self.is_running(name):
                    self._complain(name, "ended before it was ready")
                if time.monotonic() > deadline:
                    self._complain(name, f"was not ready after {patience:.0f} s")
                time.sleep(_POLL)

    def url(self, name: str, port: str = "http") -> str:
        """Where a program is reached, such as `http://127.0.0.1:29090`; for a Collector name the port too."""
        return f"http://{self.address(name, port)}"

    def address(self, name: str, port: str) -> str:
        """The same without the scheme."""
        return f"{HOST}:{self.ports[name][port]}"

    def log(self, name: str) -> Path:
        """What a program wrote in all its lives."""
        return self.processes[name].log

    def _start_one(self, name: str) -> None:
        (self.folder / "data" / name).mkdir(parents=True, exist_ok=True)
        command = self._build_command(name, self._write_configs(name))
        self.processes[name].start(command, self.environment, self.folder)

    def _build_command(self, name: str, configs: Sequence[Path]) -> list[str]:
        command = build_command(name, self.ports, self.folder / "data", configs)
        return [*command, *self.arguments.get(name, ())]

    def _write_configs(self, name: str) -> list[Path]:
        """The configuration files as the program reads them: rendered where it expands no variables."""
        if not PROGRAMS[name].is_rendered:
            return list(self.configs[name])
        folder = self.folder / "run"
        folder.mkdir(parents=True, exist_ok=True)
        rendered = []
        for template in self.configs[name]:
            path = folder / template.name
            path.write_text(render(template.read_text(), self.environment))
            rendered.append(path)
        return rendered

    def _check_ports(self, name: str) -> None:
        for purpose, port in self.ports[name].items():
            if not is_free(port):
                holder = describe_holder(port)
                msg = f"port {port} ({name} {purpose}) is in use by {holder}; end it, or change {PORTS}"
                raise PortInUseError(msg)

    def _check_exposure(self, name: str) -> None:
        if PROGRAMS[name].binary != "taskscope-collector":
            return
        try:
            exposed = find_exposed(self._build_command(name, self.configs[name]), self.environment)
        except UnreadableError as error:
            msg = f"the {name} cannot be started: {error}"
            raise StackError(msg) from error
        if exposed:
            msg = f"refused to start the {name}: {'; '.join(exposed)}"
            raise ExposedError(msg)

    def _ready_url(self, name: str) -> str:
        program = PROGRAMS[name]
        return self.url(name, program.ready_port) + program.ready_path

    def _complain(self, name: str, what: str) -> None:
        process = self.processes[name]
        msg = f"{name} {what}; the end of {process.log}:\n{process.read_log_end()}"
        raise NotReadyError(msg)


def _in_order(names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [name for name in PROGRAMS if name in wanted]
