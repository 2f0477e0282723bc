"""A fleet that fills the backends: real runs of the agent on two hosts, each with its service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.coding_agent.repositories import make_repository
from tests.providers import Answer, ScriptedProvider, call_tool, chat_completion, too_many_requests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TASKSCOPE: Final = shutil.which("taskscope", path=os.path.dirname(sys.executable)) or "taskscope"  # noqa: PTH120
ROOT: Final = Path(__file__).resolve().parents[2]
SHOP: Final = ROOT / "examples" / "shop_repository.py"
FOREIGN_MODEL: Final = "another-model"
SERVICE: Final = "agents"
PATIENCE: Final = 300.0
PRICES: Final = "prices:\n  - {model: gpt-test, input: 100, output: 400, cache_read: 10}\n"
BROKEN: Final = {
    "water.py": "def boils(celsius)\n    return celsius >= 100\n",
    "test_water.py": "from water import boils\n\n\ndef test_boils():\n    assert boils(100)\n",
}
SLOW: Final = {
    "water.py": "import time\n\n\ndef boils(celsius):\n    time.sleep(60)\n    return celsius >= 100\n",
    "test_water.py": "from water import boils\n\n\ndef test_boils():\n    assert boils(100)\n",
}
WISH: Final = {
    "water.py": "def boils(celsius):\n    return celsius >= 100\n",
    "test_water.py": "from water import freezes\n\n\ndef test_freezes():\n    assert freezes(-5, salt=0.2)\n",
}
_OWN: Final = ("OTEL_", "TASKSCOPE_", "AGENT_", "OPENAI_")


@dataclass(frozen=True, slots=True)
class Host:
    """A home of its own, with a service that checks its health and is asked things."""

    folder: Path
    environment: Mapping[str, str]

    def run(
        self, files: Mapping[str, str], model: str = "", answers: Sequence[Answer] = ()
    ) -> dict[str, Any]:
        """One task on a new repository; what the ledger says of it."""
        repository = make_repository(self.folder / f"repository-{time.monotonic_ns()}", files)
        with ScriptedProvider(answers) as provider:
            self._call(*_make_command(repository, model), OPENAI_BASE_URL=provider.openai_url)
        return self.find_tasks()[0]

    def send_as_another(self) -> None:
        """Three calls of an agent without Taskscope, by OpenTelemetry's own SDK."""
        done = self._call(
            sys.executable,
            "-m",
            "tests.stack.crew",
            "gen_ai",
            FOREIGN_MODEL,
            "3",
            "ended",
            PYTHONPATH=str(ROOT),
        )
        assert done.returncode == 0, done.stderr

    def repair_shop(self) -> None:
        """The demo's repository: four faults, several plans."""
        shop = self.folder / "shop"
        self._call(sys.executable, str(SHOP), str(shop), "--wip", "work-in-progress")
        self._call(*_make_command(shop))

    def kill_one(self) -> None:
        """A task that is killed while its tests run."""
        before = self.find_tasks()[0]["task_id"]
        repository = make_repository(self.folder / "repository-of-the-killed", SLOW)
        with subprocess.Popen(
            _make_command(repository),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            wait_for(lambda: self._runs_tests(but=before), "the task that is to be killed runs its tests")
            process.kill()

    def _runs_tests(self, but: str) -> bool:
        """Whether the newest task is another one, and its tests are open."""
        done = self._call(TASKSCOPE, "show", "--json")
        tree = json.loads(done.stdout) if done.returncode == 0 else None
        return tree is not None and tree["attributes"]["taskscope.task.id"] != but and _is_testing(tree)

    def find_tasks(self) -> list[dict[str, Any]]:
        done = self._call(TASKSCOPE, "history", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else []

    def _call(self, *command: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        environment = {**self.environment, **more}
        return subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, timeout=PATIENCE, check=False
        )


class Fleet:
    """Two hosts whose services run as long as the fleet is open."""

    def __init__(self, folder: Path, otlp_url: str) -> None:
        self.began = time.time()
        self._open = ExitStack()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prices.yaml").write_text(PRICES)
        self._programs = folder / "programs"
        self._programs.mkdir()
        (self._programs / "git").symlink_to(shutil.which("git") or "git")
        self.good = self._make_host("good", otlp_url)
        # Nobody listens there: what is for it waits.
        self.bad = self._make_host("bad", otlp_url, TASKSCOPE_DESTINATIONS="away=http://127.0.0.1:1")
        self.tasks: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def fill(self) -> None:
        """Everything that a page shows happens once at least."""
        services = [self._serve(host) for host in (self.good, self.bad)]
        for url, host in zip(services, (self.good, self.bad), strict=True):
            token = (host.folder / "home" / "token").read_text().strip()
            _ask(f"{url}/tasks", token)
            _ask(f"{url}/nowhere", token)
        self.tasks.append(self.good.run(BROKEN, "openai:gpt-test", [_fix()]))
        self.good.repair_shop()
        self.bad.run(BROKEN, "openai:house-model", [_fix()])
        self.tasks.append(self.bad.run(BROKEN, "openai:gpt-test", [too_many_requests()] * 9))
        self.bad.run(BROKEN, "openai:gpt-test", [too_many_requests(), _fix()])
        self.bad.run(WISH)
        self.good.send_as_another()
        (self._programs / "git").unlink()
        self.bad.kill_one()

    def _make_host(self, name: str, otlp_url: str, **more: str) -> Host:
        folder = self._folder / name
        folder.mkdir()
        clean = {key: value for key, value in os.environ.items() if not key.startswith(_OWN)}
        own = {
            "AGENT_HOME": str(folder / "home"),
            "AGENT_PRICES_FILE": str(self._folder / "prices.yaml"),
            "COST_CAP_DAILY": "1.5",
            "HEALTHCHECK_INTERVAL": "2s",
            "METRICS_PORT": "0",
            "OPENAI_API_KEY": "sk-made-up",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
            "OTEL_METRIC_EXPORT_INTERVAL": "2000",
            "OTEL_SERVICE_NAME": SERVICE,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return Host(folder, {**clean, **own, **more})

    def _serve(self, host: Host) -> str:
        """Start a host's service, which finds git only as long as we let it; its URL."""
        path = f"{self._programs}{os.pathsep}{os.path.dirname(sys.executable)}"  # noqa: PTH120
        log = host.folder / "serve.log"
        output = self._open.enter_context(log.open("wb"))
        process = self._open.enter_context(
            subprocess.Popen(
                [TASKSCOPE, "serve"],
                env={**host.environment, "PATH": path},
                cwd=host.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        )
        self._open.callback(process.send_signal, signal.SIGTERM)
        wait_for(lambda: "http://127.0.0.1:" in log.read_text(), "the service says its address")
        text = log.read_text()
        port = text.split("http://127.0.0.1:", 1)[1]
        digits = "".join(one for one in port[:5] if one.isdigit())
        return f"http://127.0.0.1:{digits}"


def _make_command(repository: Path, model: str = "") -> list[str]:
    chosen = ["--model", model] if model else []
    return [TASKSCOPE, "run", "make the tests pass", "--repo", str(repository), *chosen]


def _is_testing(node: Mapping[str, Any]) -> bool:
    """Whether a use of pytest is open somewhere below."""
    is_open = node["name"] == "execute_tool pytest" and node["ended_at"] is None
    return is_open or any(_is_testing(child) for child in node["children"])


def wait_for(is_so: Any, what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"after {patience:.0f} s it is still not so: {what}"
        time.sleep(0.1)


def _ask(url: str, token: str) -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def _fix() -> Answer:
    usage = {
        "prompt_tokens": 1200,
        "completion_tokens": 80,
        "total_tokens": 1280,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    calls = [call_tool("run_skill", {"skill": "missing_colon", "finding": 1})]
    return chat_completion(calls=calls, usage=usage)
