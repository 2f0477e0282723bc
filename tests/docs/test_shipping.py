"""docs/shipping.md tells what the code does: its commands run, its variables are those that count."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from taskscope.cli import main
from taskscope.shipper import destinations
from tests.taskscope.otel_globals import fresh_otel
from tests.taskscope.otlp_sink import OtlpSink

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "shipping.md").read_text(encoding="utf-8")


def test_its_variables_are_those_that_count() -> None:
    """Every OTEL_EXPORTER_OTLP_* variable that is read is in the table, and no other."""
    told = set(re.findall(r"OTEL_EXPORTER_OTLP_([A-Z_]+)`", PAGE))
    source = Path(destinations.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r"signal, \"([A-Z_]+)\"", source))
    assert told == read | {"ENDPOINT"}


def test_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of its example but the endless one ends well, against a backend that takes all."""
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.removeprefix("$ ").partition("#")[0].strip() for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("taskscope ")]
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "test_all.py").write_text("def test_all():\n    assert True\n")
    monkeypatch.chdir(repository)
    monkeypatch.setenv("AGENT_HOME", str(tmp_path / "home"))
    with OtlpSink() as sink:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
        for command in commands:
            if command == ["taskscope", "ship"]:
                continue
            with fresh_otel():
                assert main(command[1:]) == 0, command
        assert any(span.name == "invoke_workflow repair" for span in sink.spans)
    assert len(commands) == 6


@pytest.mark.parametrize("word", ["expired", "refused", "queue_full"])
def test_its_reasons_are_reasons(word: str) -> None:
    """What it calls a reason is one of the contract's."""
    from taskscope.semconv.spans import DROP_REASONS

    assert word in DROP_REASONS
    assert f"`{word}`" in PAGE
