"""docker-compose.yml and Dockerfile: valid, closed, and of one mind with the native stack and the docs.

Docker itself is asked where it is there; what needs its daemon stands in the GitHub workflow.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import containers
from stack.ports import HOST, load_ports
from stack.programs import _ARGUMENTS, find_collector_configs
from stack.versions import load_pins

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
IMAGE_OF = {"agent": "collector", "gateway": "collector", "gateway-scale": "collector"}
"""Services that are called otherwise than their program."""
OWN = {"taskscope", "pipeline"}
"""Services of our own image."""
PUBLISHED = re.compile(r"127\.0\.0\.1:(?P<host>\d+):(?P<inside>\d+)")


@cache
def read_file() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return parsed


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = deepcopy(read_file()["services"])
    return found


def ports_of(service: dict[str, Any]) -> list[tuple[int, int]]:
    """Both ports of each that is published; fails for one that is not bound to loopback."""
    found = [PUBLISHED.fullmatch(port) for port in service.get("ports", [])]
    assert None not in found, service["ports"]
    return [(int(port["host"]), int(port["inside"])) for port in found if port]


# --- valid


DOCKER = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
"""The environment of the person, whose Docker may have its plugins at home; tests have an empty home."""


def has_compose() -> bool:
    docker = shutil.which("docker")
    asked = [docker, "compose", "version"] if docker else ["false"]
    return subprocess.run(asked, env=DOCKER, capture_output=True, check=False).returncode == 0


def ask_compose(path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Ask `docker compose config`, without the person's .env."""
    command = ["docker", "compose", "--project-directory", str(ROOT), "--env-file", "/dev/null"]
    command += ["--file", str(path), *arguments, "config", "--quiet"]
    return subprocess.run(command, env={**DOCKER, **variables}, capture_output=True, text=True, check=False)


def ask_schema(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Ask the Compose Specification's schema, which check-jsonschema carries (Apache-2.0)."""
    program = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [program, "--builtin-schema", "vendor.compose-spec", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_broken(folder: Path) -> Path:
    broken = deepcopy(read_file())
    broken["services"]["loki"]["imaeg"] = broken["services"]["loki"].pop("image")
    path = folder / "docker-compose.yml"
    path.write_text(yaml.safe_dump(broken))
    return path


def test_the_file_keeps_the_specification(tmp_path: Path) -> None:
    """The Compose Specification's schema takes the file, and refuses it with one key misspelt."""
    broken = write_broken(tmp_path)
    asked = ask_schema(FILE, broken)
    assert (asked.returncode, "imaeg" in asked.stdout) == (1, True), asked.stdout
    assert (str(broken) in asked.stdout, str(FILE) in asked.stdout) == (True, False), asked.stdout


@pytest.mark.skipif(not has_compose(), reason="`docker compose version` does not answer here")
def test_docker_compose_takes_the_file(tmp_path: Path) -> None:
    """`docker compose config` passes with every profile; misspelt, or without a password, it does not."""
    secret = {"GRAFANA_ADMIN_PASSWORD": "made-up"}
    taken = ask_compose(FILE, "--profile", "*", **secret)
    assert taken.returncode == 0, taken.stderr
    assert ask_compose(write_broken(tmp_path), **secret).returncode != 0
    refused = ask_compose(FILE)
    assert refused.returncode != 0
    assert "make compose-secrets" in refused.stderr


# --- closed


def test_only_loopback_is_published() -> None:
    """Every published port is bound to 127.0.0.1, and no service shares the host's network."""
    published = {name: ports_of(service) for name, service in services().items()}
    assert sum(map(len, published.values())) > 15, published
    assert [name for name, service in services().items() if "network_mode" in service] == []


def test_nothing_may_more_than_it_has_to() -> None:
    """Each service has a read-only root, no capability and no way to new privileges."""
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"cap_add", "privileged", "devices", "pid", "ipc"} & service.keys(), name


def test_grafana_has_no_password_of_ours_and_no_guests() -> None:
    """The password has no default, nobody is let in without one, and nobody signs up."""
    environment = services()["grafana"]["environment"]
    assert re.fullmatch(r"\$\{GRAFANA_ADMIN_PASSWORD:\?.+\}", environment["GF_SECURITY_ADMIN_PASSWORD"])
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in services()["grafana"]["volumes"]


def test_every_service_is_asked_for_its_health() -> None:
    """A service asks itself, or `pipeline` asks it, by a URL of its own host."""
    asked = " ".join(services()["pipeline"]["healthcheck"]["test"])
    for name, service in services().items():
        host = "gateway" if name == "gateway-scale" else name
        assert "healthcheck" in service or f"//{host}:" in asked, name


def test_what_is_kept_lies_in_a_volume() -> None:
    """Every volume is declared and used, and every program that keeps something has one."""
    used = {
        volume.partition(":")[0]
        for service in services().values()
        for volume in service.get("volumes", [])
        if re.match(r"[a-z]", volume)
    }
    assert used | {"repositories"} == set(read_file()["volumes"])
    assert {"home", "chroma", "agent-queue", "gateway-queue", "prometheus", "tempo", "loki"} <= used


def test_profiles_are_those_that_are_told() -> None:
    """Two profiles: `nats`, and `scale`, whose gateway answers to the name of the one that it replaces."""
    profiles = {name: service["profiles"] for name, service in services().items() if "profiles" in service}
    assert profiles == {"nats": ["nats"], "gateway-scale": ["scale"]}
    assert services()["gateway-scale"]["networks"] == {"default": {"aliases": ["gateway"]}}
    assert services()["gateway-scale"]["command"][-1].endswith("/overlays/scale.yaml")


# --- of one mind with the native stack


def find_version_faults(found: dict[str, dict[str, Any]]) -> list[str]:
    """Images that are not those of versions.toml."""
    pins = load_pins()
    expected = {
        name: f"{pins[IMAGE_OF.get(name, name)].image}:{pins[IMAGE_OF.get(name, name)].tag}"
        for name in found.keys() - OWN
    }
    return [name for name, image in expected.items() if found[name]["image"] != image]


def test_images_are_those_of_the_versions_file() -> None:
    """Each image and tag stands in stack/versions.toml; another tag is found; none is `latest`."""
    assert find_version_faults(services()) == []
    other = services()
    other["loki"]["image"] = "grafana/loki:latest"
    assert find_version_faults(other) == ["loki"]


def test_server_and_client_of_chroma_are_one_release() -> None:
    """The image's tag is the version of the package that the requirements pin."""
    pins = (ROOT / "requirements" / "image.txt").read_text()
    assert re.search(rf"^chromadb=={re.escape(load_pins()['chroma'].tag)} ", pins, re.MULTILINE)


def test_the_image_begins_with_the_python_of_the_versions_file() -> None:
    """Both stages of the Dockerfile stand on it."""
    pin = load_pins()["python"]
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("ARG PYTHON_IMAGE")] == [
        f"ARG PYTHON_IMAGE={pin.image}:{pin.tag}"
    ]
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"${PYTHON_IMAGE}"}


def find_port_faults(found: dict[str, dict[str, Any]]) -> list[tuple[str, int]]:
    """Ports that are published under another number than ports.toml has, or that it does not have."""
    numbers = load_ports()
    faults = []
    for name, service in found.items():
        own = numbers.get("gateway" if name == "gateway-scale" else name, {}).values()
        for host, inside in ports_of(service):
            if host not in own or inside != host:
                faults.append((name, host))
    return faults


def test_ports_are_those_of_the_ports_file() -> None:
    """Each published port is that of stack/ports.toml, inside and outside; another one is found."""
    assert find_port_faults(services()) == []
    other = services()
    other["loki"]["ports"] = ["127.0.0.1:3100:3100"]
    assert find_port_faults(other) == [("loki", 3100)]


def test_addresses_inside_name_services_and_their_ports() -> None:
    """Every address of another container, in variables and health checks, is a service and its port."""
    numbers = load_ports()
    text = FILE.read_text()
    named = re.findall(r"(?<![\w.])(?:http://)?([a-z][a-z-]*):(\d{4,5})(?!\d)", text)
    assert len(named) > 12, named
    wrong = [(host, port) for host, port in named if int(port) not in numbers.get(host, {}).values()]
    assert wrong == []


@pytest.mark.parametrize("name", ["agent", "gateway"])
def test_a_collector_reads_the_files_of_its_native_twin(name: str) -> None:
    """The same configuration files in the same order."""
    files = [Path(word.removeprefix("--config=/etc/taskscope/")) for word in services()[name]["command"]]
    assert files == [path.relative_to(ROOT / "collector") for path in find_collector_configs(name)]


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "loki", "tempo"])
def test_a_program_has_the_flags_of_its_native_twin(name: str) -> None:
    """The same flags; only files and folders are elsewhere, and every address is listened on."""
    places = {"config": ".*", "data": ".*", "host": "0[.]0[.]0[.]0", **load_ports().get(name, {})}
    expected = [
        re.compile(re.escape(flag).replace("\\{", "{").replace("\\}", "}").format(**places))
        for flag in _ARGUMENTS[name]
    ]
    given = services()[name]["command"]
    assert len(given) == len(expected)
    assert [flag.pattern for flag in expected if not any(flag.fullmatch(word) for word in given)] == []


def find_lonely_variables(name: str) -> list[str]:
    """Variables of a service's configuration files that would leave it on its own loopback."""
    service = services()[name]
    mounts = [volume.split(":")[:2] for volume in service["volumes"] if volume.startswith("./")]
    lonely = set()
    for word in service["command"]:
        inside = word.rpartition("=")[2]
        for source, target in mounts:
            if inside.startswith(target):
                text = (ROOT / (source + inside.removeprefix(target))).read_text()
                lonely |= set(re.findall(rf"\$\{{(?:env:)?(\w+):-(?:https?://)?{re.escape(HOST)}\b", text))
    return sorted(lonely - service.get("environment", {}).keys())


@pytest.mark.parametrize("name", ["agent", "gateway", "gateway-scale", "loki", "tempo"])
def test_no_container_listens_or_asks_on_its_own_loopback(name: str) -> None:
    """Every address that is loopback by default is given."""
    assert find_lonely_variables(name) == []


def test_the_rendered_files_are_those_of_the_templates(tmp_path: Path) -> None:
    """stack/rendered/ is what stack.containers would write; a changed line is found and named."""
    assert containers.main(["--check"]) == 0
    for path, text in containers.build_files(load_ports()).items():
        assert path.read_text() == text
        assert "${" not in text
        assert "127.0.0.1" not in re.sub(r"http://127\.0\.0\.1:29099/", "", text)


@pytest.mark.parametrize(
    "service, source",
    [
        (name, volume.partition(":")[0])
        for name, service in services().items()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ],
)
def test_mounted_files_are_there_and_are_not_written(service: str, source: str) -> None:
    """What is mounted from the repository exists, else Docker makes a folder there; and only to read."""
    assert (ROOT / source).exists()
    mounts = [volume for volume in services()[service]["volumes"] if volume.startswith(source)]
    assert all(mount.endswith(":ro") for mount in mounts)


# --- the image


def read_instructions(name: str) -> list[list[str]]:
    """The words of each instruction of one name, lines joined, in order."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return [shlex.split(line)[1:] for line in lines]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last pattern that meets it decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line.startswith("#") and any(
            fnmatch.fnmatch(part, pattern) for part in (path, *map(str, Path(path).parents)) if part != "."
        ):
            sent = line.startswith("!")
    return sent


def test_what_the_image_copies_is_there_and_is_sent() -> None:
    """Each source of a COPY exists and passes .dockerignore, and nothing of the rest does."""
    copied = [words for words in read_instructions("COPY") if not words[0].startswith("--from")]
    sources = [word for words in copied for word in words[:-1] if not word.startswith("--")]
    assert {"requirements/image.txt", "src", "pyproject.toml"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not is_sent(source)] == []
    assert [name for name in (".env", ".git", ".venv", "tests", "docs") if is_sent(name)] == []


def test_the_image_runs_as_nobody_in_particular() -> None:
    """Its last user is not root, it installs by hashes alone, and holds the program of its health check."""
    assert read_instructions("USER")[-1] == ["taskscope"]
    installs = [" ".join(words) for words in read_instructions("RUN") if "requirements/image.txt" in words]
    assert len(installs) == 1
    assert "--require-hashes --no-deps -r requirements/image.txt" in installs[0]
    assert "/usr/local/bin/ask" in read_instructions("COPY")[-1]
    assert services()["taskscope"]["healthcheck"]["test"][:2] == ["CMD", "ask"]


# --- the workflow


def read_workflow() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    return parsed


def test_the_workflow_keeps_its_schema() -> None:
    """GitHub's schema takes it, every action is pinned to a commit, and every job ends by itself."""
    program = str(Path(sys.executable).with_name("check-jsonschema"))
    schema = ["--builtin-schema", "vendor.github-workflows", str(ROOT / ".github/workflows/ci.yml")]
    asked = subprocess.run([program, *schema], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stdout
    jobs = read_workflow()["jobs"]
    uses = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert [action for action in uses if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)] == []
    assert all("timeout-minutes" in job for job in jobs.values())


def test_the_workflow_calls_what_is_there() -> None:
    """Every target of make and every module that it calls exists, and all that is promised is called."""
    jobs = read_workflow()["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    targets = {target for run in steps for target in re.findall(r"^make ([a-z-]+)", run, re.MULTILINE)}
    declared = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets <= set(declared)
    assert {"check", "test", "stack", "test-stack", "compose-secrets"} == targets - {"setup"}
    modules = {module for run in steps for module in re.findall(r"python -m ([a-z_.]+)", run)}
    assert modules == {"grafana.live"}
    assert (ROOT / "grafana" / "live.py").exists()


# --- the docs

PAGES = [
    page
    for name in sorted(
        (
            "docs/pipeline.md",
            "docs/runbook.md",
            "docs/dashboards.md",
            "docs/troubleshooting.md",
            "docs/containers.md",
        )
    )
    if (page := ROOT / name).exists()
] + [page for name in ("collector", "stack") if (page := ROOT / name / "README.md").exists()]
SPOKEN = ("Prometheus", "Loki", "Tempo", "Alertmanager", "Grafana", "Collector", "Chroma")


def find_wrong_words(text: str) -> list[str]:
    """Ports that ports.toml has not, versions that versions.toml has not, files that are not there."""
    numbers = {str(port) for program in load_ports().values() for port in program.values()}
    spoken = re.findall(r"(?:127\.0\.0\.1|localhost):(\d{4,5})\b", text)
    wrong = [port for port in spoken if port not in numbers]
    versions = (
        rf"\b({'|'.join(SPOKEN)}) v?(\d+\.\d+(?:\.\d+)?)\b(?!\s*(?:s|ms|MB|GB|%))"  # no measured values
    )
    for name, version in re.findall(versions, text):
        release = load_pins()[name.lower()].release
        if version != release and not release.startswith((f"{version}.", f"{version}-")):
            wrong.append(f"{name} {version}")
    named = re.findall(r"`((?:collector|stack|grafana)/[\w./-]+\.(?:ya?ml|toml|py|json))`", text)
    return wrong + [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_docs_name_what_is_there(page: Path) -> None:
    """Each port, version and configuration file that a page of the pipeline names is that of the stack."""
    assert find_wrong_words(page.read_text()) == []


def test_a_wrong_word_of_the_docs_is_found() -> None:
    """The control: a port, a version and a file of another stack are three findings."""
    text = "Ask http://127.0.0.1:3100/ready of Loki 2.9.1, as in `collector/router.yaml`."
    assert find_wrong_words(text) == ["3100", "Loki 2.9.1", "collector/router.yaml"]
    assert find_wrong_words("Loki 3.7 on 127.0.0.1:23100, `stack/loki.yaml`") == []
