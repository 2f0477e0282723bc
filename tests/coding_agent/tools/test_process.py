"""Children end, whatever they do, and their output never fills the memory."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from coding_agent.errors import TaskStoppedError, TimeExceededError, ToolFailedError, ToolMissingError
from coding_agent.records import Command, CommandResult
from coding_agent.tools import process
from coding_agent.tools.process import filter_environment, run_process
from tests.coding_agent.repositories import Clock, FakeLimits


def python(code: str, root: Path, **options: object) -> CommandResult:
    command = {key: options.pop(key) for key in ("timeout", "env", "stdin", "cwd") if key in options}
    return run_process(
        Command(argv=(sys.executable, "-c", code), **command),  # type: ignore[arg-type]
        root=root,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def _quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the limits soon again while a child is silent: no test here is about how often."""
    monkeypatch.setattr(process, "_LOOK_SECONDS", 0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped by a parent of its own does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until_gone(pid: int) -> None:
    """Return once a killed process has left; the test's own time limit is the only other end."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            select.select([handle], [], [], 30)
        finally:
            os.close(handle)
    assert not is_alive(pid)


def test_output_and_exit_code_are_the_childs(tmp_path: Path) -> None:
    """A result holds both streams, the exit code, the pid and the number of bytes."""
    result = python("import os, sys; print(os.getpid()); print('no', file=sys.stderr); sys.exit(3)", tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (3, f"{result.pid}\n", "no\n")
    assert result.output_bytes == len(result.stdout) + len(result.stderr)
    assert not result.is_ok
    assert not result.is_truncated


def test_ten_megabytes_are_counted_but_not_kept(tmp_path: Path) -> None:
    """Output beyond the limit is drained and counted; head and tail stay, and memory stays small."""
    code = (
        "import sys; sys.stdout.write('head' + 'x' * 10_000_000 + 'tail'); sys.stderr.write('e' * 10_000_000)"
    )
    tracemalloc.start()
    try:
        result = python(code, tmp_path, output_limit_bytes=100_000)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.output_bytes == 20_000_008
    assert result.is_truncated
    assert result.stdout.startswith("headx")
    assert result.stdout.endswith("xtail")
    assert len(result.stdout) + len(result.stderr) < 100_200
    assert peak_bytes < 2_000_000


def test_a_small_limit_keeps_the_exact_number_of_bytes(tmp_path: Path) -> None:
    """Of a stream that is too long, as many bytes are kept as the limit gives it."""
    result = python("print('0123456789' * 10, end='')", tmp_path, output_limit_bytes=8)
    assert result.stdout == "012\n[... 94 bytes left out ...]\n789"


def test_a_grandchild_that_holds_the_pipe_does_not_hang_us(tmp_path: Path) -> None:
    """When the child has ended, a process that it left behind is killed and its pipe not waited for."""
    code = "import subprocess;child = subprocess.Popen(['sleep', '600']);print(child.pid)"
    result = python(code, tmp_path, timeout=300)
    assert result.exit_code == 0
    assert not result.is_timed_out
    wait_until_gone(int(result.stdout))


def test_a_stranger_who_holds_the_pipe_does_not_hang_us(tmp_path: Path) -> None:
    """A process that left the group and keeps the pipe open is not waited for either."""
    code = (
        "import subprocess;"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True);"
        "print(child.pid)"
    )
    result = python(code, tmp_path, timeout=300)
    os.kill(int(result.stdout), signal.SIGKILL)
    assert result.exit_code == 0
    assert not result.is_timed_out


@pytest.mark.usefixtures("_quick_look")
def test_the_time_limit_kills_the_whole_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit child and grandchild are killed, also when they ignore SIGTERM."""
    monkeypatch.setattr(process, "time", Clock(tmp_path / "started"))
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.1)
    script = "trap '' TERM; sleep 600 & echo $!; touch started; wait"
    result = run_process(Command(argv=("sh", "-c", script), timeout=600), root=tmp_path)
    assert result.is_timed_out
    assert result.exit_code is None
    wait_until_gone(result.pid)
    wait_until_gone(int(result.stdout))


@pytest.mark.usefixtures("_quick_look")
def test_a_child_may_clean_up_when_it_is_terminated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM comes first: what a child writes on its way out is kept."""
    monkeypatch.setattr(process, "time", Clock(tmp_path / "started"))
    script = "trap 'echo bye; exit' TERM; echo ready; touch started; sleep 600 & wait"
    result = run_process(Command(argv=("sh", "-c", script), timeout=600), root=tmp_path)
    assert result.stdout == "ready\nbye\n"
    assert result.is_timed_out


def test_the_task_has_the_last_word_on_time(tmp_path: Path) -> None:
    """What the task's limits leave cuts a command's own limit short."""
    result = python(
        "import time; time.sleep(600)", tmp_path, timeout=600, limits=FakeLimits(seconds_left=0.05)
    )
    assert result.is_timed_out


def test_nothing_is_spawned_when_the_limits_forbid_it(tmp_path: Path) -> None:
    """The limits are asked before each child."""
    limits = FakeLimits(error=TimeExceededError("used up"))
    with pytest.raises(TimeExceededError):
        python("open('made', 'w')", tmp_path, limits=limits)
    assert limits.checks == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.usefixtures("_quick_look")
def test_a_task_that_is_stopped_stops_its_child(tmp_path: Path) -> None:
    """Limits that end the task while a child runs kill its group, long before the child's own limit."""

    class StoppedByFile(FakeLimits):
        def check(self) -> None:
            if (tmp_path / "pids").exists():
                raise TaskStoppedError("stopped")

    script = "sleep 600 & echo $$ $! > pids.new; mv pids.new pids; wait"
    with pytest.raises(TaskStoppedError):
        run_process(Command(argv=("sh", "-c", script)), root=tmp_path, limits=StoppedByFile())
    for pid in (tmp_path / "pids").read_text(encoding="ascii").split():
        wait_until_gone(int(pid))


def test_an_interrupt_kills_the_group_and_goes_on(tmp_path: Path) -> None:
    """Ctrl-C while a child runs kills its whole group and is raised again."""
    os.mkfifo(tmp_path / "started")
    pids: list[str] = []

    def interrupt() -> None:
        # Reading a named pipe waits for the child to write to it.
        pids.extend((tmp_path / "started").read_text(encoding="ascii").split())
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        run_process(Command(argv=("sh", "-c", "sleep 600 & echo $$ $! > started; wait")), root=tmp_path)
    helper.join()
    assert len(pids) == 2
    for pid in pids:
        wait_until_gone(int(pid))


def test_children_never_write_byte_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONDONTWRITEBYTECODE is set for each child, whatever agent and command have in their environment."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "module.py").write_text("x = 1\n", encoding="utf-8")
    code = "import os, module; print(os.environ['PYTHONDONTWRITEBYTECODE'])"
    result = python(code, tmp_path, env={"PYTHONDONTWRITEBYTECODE": ""})
    assert result.stdout == "1\n"
    assert not (tmp_path / "__pycache__").exists()


def test_secrets_stay_with_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child inherits no variable that is named like a secret; what a command asks for it gets."""
    for name in ("OPENAI_API_KEY", "github_token", "DB_PASSWORD", "CLIENT_SECRET"):
        monkeypatch.setenv(name, "do-not-tell")
    code = "import os; print([k for k, v in os.environ.items() if 'tell' in v])"
    assert python(code, tmp_path).stdout == "[]\n"
    assert python(code, tmp_path, env={"DB_PASSWORD": "tell"}).stdout == "['DB_PASSWORD']\n"


def test_a_hooks_variables_do_not_lead_git_astray() -> None:
    """Variables that git sets for its hooks are not handed on; other ones are."""
    environment = {"GIT_DIR": "/elsewhere", "GIT_INDEX_FILE": "/elsewhere/index", "HOME": "/home/me"}
    assert filter_environment(environment) == {"HOME": "/home/me"}


def test_input_larger_than_a_pipe_is_handed_over(tmp_path: Path) -> None:
    """Input goes in while output comes out, so that neither side waits for ever."""
    code = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    result = python(code, tmp_path, stdin="ab" * 500_000, output_limit_bytes=4_000_000)
    assert result.stdout == "AB" * 500_000


def test_input_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    """A child may end without reading its input."""
    assert python("pass", tmp_path, stdin="x" * 1_000_000).exit_code == 0


def test_a_child_that_closes_its_streams_is_waited_for(tmp_path: Path) -> None:
    """A child is over when it ends, not when it falls silent."""
    code = "import os, time; os.close(1); os.close(2); time.sleep(0.1); os._exit(7)"
    assert python(code, tmp_path).exit_code == 7


def test_the_signal_that_killed_a_child_is_its_exit_code(tmp_path: Path) -> None:
    """A child that somebody else killed has a negative exit code, as in subprocess."""
    assert python("import os; os.kill(os.getpid(), 9)", tmp_path).exit_code == -9


def test_bytes_can_be_kept_as_they_are(tmp_path: Path) -> None:
    """Output that is not UTF-8 is replaced, or kept by surrogates when asked for."""
    code = r"import sys; sys.stdout.buffer.write(b'a\xffb')"
    assert python(code, tmp_path).stdout == "a\ufffdb"
    assert python(code, tmp_path, errors="surrogateescape").stdout == "a\udcffb"


@pytest.mark.parametrize("name", ["no-such-program-here", "./plain.txt", "plain.txt/x"])
def test_a_missing_program_is_named(tmp_path: Path, name: str) -> None:
    """What is not there, or not executable, raises ToolMissingError with its name."""
    (tmp_path / "plain.txt").write_text("text", encoding="utf-8")
    with pytest.raises(ToolMissingError, match=name) as caught:
        run_process(Command(argv=(name,)), root=tmp_path)
    assert name in caught.value.hint


@pytest.mark.parametrize("argv", [(), ("echo", "a\0b"), ("echo", "x" * 200_000)])
def test_what_cannot_be_run_is_told(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """An argument list that the system refuses raises ToolFailedError."""
    with pytest.raises(ToolFailedError):
        run_process(Command(argv=argv), root=tmp_path)


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    """A command's folder that does not exist raises ToolFailedError that names it."""
    with pytest.raises(ToolFailedError, match="nowhere"):
        python("pass", tmp_path, cwd="nowhere")


def test_without_pidfd_the_child_is_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no process handles (macOS), children end and are killed all the same."""
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.delattr(os, "waitid")
    assert python("print('hi')", tmp_path).stdout == "hi\n"
    assert python("import time; time.sleep(600)", tmp_path, timeout=0.1).is_timed_out
