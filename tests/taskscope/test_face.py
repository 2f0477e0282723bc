"""The public face: it hands on what it promises, and importing it does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import taskscope

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_agent.py"

WATCH = """
import json, os, sys, threading
opened, before = [], set(sys.modules)
sys.dont_write_bytecode = True
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def hook(event, args):
    does = event in ("socket.connect", "socket.bind", "sqlite3.connect", "subprocess.Popen", "os.mkdir")
    if does or (event == "open" and args[2] & WRITES):
        opened.append([event, str(args[0])])
sys.addaudithook(hook)
{code}
new = sorted(set(sys.modules) - before)
print(json.dumps(dict(opened=opened, threads=threading.active_count(), modules=new)))
"""


def watch(code: str) -> dict[str, Any]:
    """Run code in a fresh interpreter; return what it wrote or reached, its threads and new modules."""
    result = subprocess.run(
        [sys.executable, "-c", WATCH.format(code=code)], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_every_promised_name_is_there() -> None:
    """Each name of `__all__` can be had, is listed by `dir`, and is documented."""
    assert set(taskscope.__all__) <= set(dir(taskscope))
    for name in taskscope.__all__:
        assert callable(getattr(taskscope, name))
        assert getattr(taskscope, name).__doc__


def test_other_names_are_no_attributes() -> None:
    """A name that is not promised is an AttributeError as of any module."""
    with pytest.raises(AttributeError, match="module 'taskscope' has no attribute 'tasky'"):
        _ = taskscope.tasky


def test_import_loads_nothing_but_itself() -> None:
    """`import taskscope` loads no third-party module, writes and reaches nothing, starts no thread."""
    found = watch("import taskscope")
    foreign = {name.partition(".")[0] for name in found["modules"]} - set(sys.stdlib_module_names)
    assert foreign == {"taskscope"}
    assert (found["opened"], found["threads"]) == ([], 1)


def test_spans_without_configuration_cost_the_api_alone() -> None:
    """Using the manual API loads the OTel API, no SDK and nothing that records, and writes nothing."""
    found = watch(
        "import taskscope\n"
        "with taskscope.task('answer'), taskscope.llm('m', provider='local'):\n"
        "    taskscope.record_usage(input_tokens=1)"
    )
    forbidden = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "sqlite3", "structlog")
    rooms = ("taskscope.recorder", "taskscope.store", "taskscope.bootstrap", "taskscope.config")
    assert [name for name in found["modules"] if name.startswith((*forbidden, *rooms))] == []
    assert (found["opened"], found["threads"]) == ([], 1)


def test_example_is_short_and_its_task_is_on_record(tmp_path: Path) -> None:
    """The example of an own agent has fewer than 30 lines, runs, and `show` prints its task."""
    assert len(EXAMPLE.read_text().splitlines()) < 30
    environment = {**os.environ, "TASKSCOPE_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, EXAMPLE], env=environment, capture_output=True, text=True, check=True
    )
    answer, recorded = ran.stdout.splitlines()
    assert (answer, ran.stderr) == ("README.md speaks of coffee, so: yes", "")
    shown = subprocess.run(
        [sys.executable, "-m", "taskscope", "show", "--json", recorded.split()[-1]],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    task = json.loads(shown.stdout)
    assert task["name"] == "invoke_workflow answer"
    assert [child["name"] for child in task["children"][0]["children"]] == ["step search", "step ask"]
