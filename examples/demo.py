"""The demo: a real repository repaired, one task beyond the rules, one killed; each seen from end to end.

Everything happens below one new temporary folder, which is kept. Only the `taskscope` command is used, as a
person would, and git and pytest to show what came of it. Needs no terminal, key or network.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shop_repository import make_shop

TASKSCOPE = Path(sys.executable).parent / "taskscope"
OWN_SETTINGS = ("OTEL_", "TASKSCOPE_", "AGENT_", "LOG_", "METRICS_", "GIT_")
PATIENCE = 60.0
"""Seconds within which the third task must have begun its tests."""
LOOK_ON = 1.5
"""Seconds of its tests that the third task is granted, so that a person sees it at them."""


class DemoError(Exception):
    """The demo did not show what it promises: what was seen instead."""

    def __init__(self, what: str, seen: object) -> None:
        super().__init__(f"{what}: {seen}")


class Demo:
    """The folder of one demo and the commands that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A person's settings would make it another demo.
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)
        }
        self.environment |= {
            "AGENT_HOME": str(folder / "home"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the shop has none, a developer's Python has many
        }

    def shop(self, name: str, *, wip: str, commits: int | None = None) -> Path:
        """Make a repository of the shop."""
        return make_shop(self.folder / name, wip=wip, commits=commits)

    def taskscope(self, *arguments: str) -> int:
        """Run a command before the person's eyes and return its exit code."""
        say(f"$ taskscope {shlex.join(arguments)}")
        # A pipe gets the live lines on standard error; here they belong between the others.
        command = [str(TASKSCOPE), *arguments]
        return subprocess.run(command, **self._place(), stderr=subprocess.STDOUT, check=False).returncode

    def ask(self, *arguments: str) -> Any:
        """Return what a command answers as JSON, None while it has no answer."""
        done = subprocess.run(
            [TASKSCOPE, *arguments, "--json"], **self._place(), capture_output=True, check=False
        )
        return json.loads(done.stdout) if done.returncode == 0 else None

    def print_answer(self, *arguments: str, until: str | None = None) -> None:
        """Run a command and print what it says, or only the lines before the one that begins with `until`."""
        say(f"$ taskscope {shlex.join(arguments)}")
        done = subprocess.run(
            [TASKSCOPE, *arguments], **self._place(), stdout=subprocess.PIPE, text=True, check=True
        )
        for line in done.stdout.splitlines():
            if until is not None and line.startswith(until):
                break
            say(line)

    def test(self, shop: Path) -> int:
        """Run the shop's own tests and print how they ended."""
        say(f"$ cd {shop} && PYTHONPATH=src python -m pytest -q")
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
        environment = {**self.environment, "PYTHONPATH": "src"}
        done = subprocess.run(
            command, cwd=shop, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        say(*(f"  {line}" for line in done.stdout.strip().splitlines()[-6:]))
        return done.returncode

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command whose live lines go to the person."""
        say(f"$ taskscope {shlex.join(arguments)}")
        return subprocess.Popen([TASKSCOPE, *arguments], **self._place(), stderr=subprocess.STDOUT)

    def _place(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment}


def repair(demo: Demo) -> str:
    """Screen 1: a repository with four faults, repaired; returns the task's id."""
    title("1. A repository with four faults: a colon, an import, a renamed function, a wrong total")
    shop = demo.shop("shop", wip="work-in-progress")
    say("", "Before:")
    demo.test(shop)
    say("", "The agent at work, each line a span; it works on a copy, your files are never written:")
    code = demo.taskscope("run", "make the tests pass", "--repo", str(shop))
    task = demo.ask("history", "--limit", "1")[0]
    if code or not task["patch"]:
        raise DemoError("the repair did not succeed", task["outcome"])
    say("", "The patch:")
    say(*(f"  {line}" for line in Path(task["patch"]).read_text(encoding="utf-8").splitlines()))
    subprocess.run(["git", "-C", shop, "apply", task["patch"]], check=True)
    say("", "After it was applied with the line above:")
    if code := demo.test(shop):
        raise DemoError("the tests fail after the patch was applied, exit code", code)
    say("", f"The patch lies in {task['patch']}")
    return str(task["task_id"])


def meet_the_limit(demo: Demo) -> None:
    """Screen 2: a wish that no rule can grant."""
    title("2. A test for something that nobody has written yet: no rule can do that, and none pretends to")
    shop = demo.shop("shop-with-a-wish", wip="wish-for-coupons", commits=5)
    code = demo.taskscope("run", "let customers use coupons", "--repo", str(shop))
    task = demo.ask("history", "--limit", "1")[0]
    if code != 1 or task["outcome"] != "needs_llm":
        raise DemoError("the wish did not end as needs_llm with exit code 1", (task["outcome"], code))


def kill(demo: Demo, look_on_s: float) -> None:
    """Screen 3: kill -9 in the middle of the tests."""
    title("3. Killed with kill -9 in the middle of the tests")
    shop = demo.shop("shop-that-is-slow", wip="slow-warehouse", commits=5)
    before = demo.ask("history", "--limit", "1")[0]["task_id"]
    run = demo.start("run", "make the tests pass", "--repo", str(shop))
    try:
        task_id = wait_for_tests(demo, run, before)
        time.sleep(look_on_s)
        say("", f"$ kill -9 {run.pid}    # and its children; nothing in it can say goodbye")
    finally:
        kill_tree(run)
    say("")
    demo.print_answer("show", task_id)
    state = demo.ask("history", "--limit", "1")[0]
    if (state["task_id"], state["outcome"]) != (task_id, "interrupted"):
        raise DemoError("the killed task is not interrupted", state["outcome"])


def wait_for_tests(demo: Demo, run: subprocess.Popen[bytes], before: str) -> str:
    """Wait until the store shows the new task's pytest command as open; return the task's id."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and run.poll() is None:
        tree = demo.ask("show")
        task_id = tree and tree["attributes"]["taskscope.task.id"]
        if task_id != before and tree and is_testing(tree):
            return str(task_id)
        time.sleep(0.1)
    raise DemoError("the tests of the third task did not begin, exit code", run.poll())


def is_testing(tree: dict[str, Any], *, below_pytest: bool = False) -> bool:
    """Whether a command below `execute_tool pytest` is open in this tree."""
    if below_pytest and tree["ended_at"] is None:
        return True
    inside = below_pytest or tree["name"] == "execute_tool pytest"
    return any(is_testing(child, below_pytest=inside) for child in tree["children"])


def kill_tree(run: subprocess.Popen[bytes]) -> None:
    """Kill the process that we started and those below it, by their ids."""
    below = find_descendants(run.pid)
    run.kill()
    run.wait()
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def find_descendants(pid: int) -> list[int]:
    """Return the ids of the processes below one."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = [tuple(map(int, line.split())) for line in table.splitlines()]
    found, wanted = [], [pid]
    while wanted:
        parent = wanted.pop()
        children = [child for child, its_parent in parents if its_parent == parent]
        found += children
        wanted += children
    return found


def close(demo: Demo, task_id: str) -> None:
    """Screen 4: where the time went, what it cost, and what to do next."""
    title("4. Where the time of the first task went, and what it cost")
    demo.print_answer("show", task_id, until="patch")
    say("No language model was called, so there is nothing to pay and no token to count.", "")
    demo.print_answer("history")
    command, home = shlex.quote(str(TASKSCOPE)), shlex.quote(str(demo.folder / "home"))
    say(
        "",
        "Look on at what this demo left:",
        f"  export AGENT_HOME={home}",
        f"  {command} show {task_id}",
        f"  {command} logs {task_id}",
        "Your own repository:",
        f"  {command} run 'make the tests pass' --repo PATH",
        "Your own agent, in Python:",
        "  import taskscope",
        "  taskscope.configure()",
        "  with taskscope.task('answer'), taskscope.step('search'):",
        "      ...",
        "Metrics, health and tasks over HTTP:",
        f"  {command} serve",
    )


def title(text: str) -> None:
    """Print the head of a screen."""
    say("", "=" * len(text), text, "=" * len(text))


def say(*lines: str) -> None:
    """Print lines at once, so that they stand in order with those of the commands."""
    for line in lines:
        print(line, flush=True)


def main() -> int:
    """Run the four screens; 0 when each showed what it promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a new or empty folder; a temporary one by default")
    look_on = "seconds of its tests that the task to be killed is granted"
    parser.add_argument("--look-on", type=float, default=LOOK_ON, metavar="SECONDS", help=look_on)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="taskscope-demo-"))
    demo = Demo(folder.absolute())
    started = time.monotonic()
    try:
        demo.folder.mkdir(parents=True, exist_ok=True)
        task_id = repair(demo)
        meet_the_limit(demo)
        kill(demo, options.look_on)
        close(demo, task_id)
    except (DemoError, subprocess.CalledProcessError, OSError) as error:
        print(f"demo: {error}; what it left is in {demo.folder}", file=sys.stderr)
        return 1
    say("", f"{time.monotonic() - started:.0f} s; everything lies in {demo.folder} and may be deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
