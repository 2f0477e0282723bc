"""The commands and what each takes; what they do stands in a file of its own, imported when it is called.

Help is plain (no rich): `taskscope --help` has 200 ms. The reference in docs/cli.md is generated from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="taskscope",
    help="See what a coding agent did: every task as a trace with its logs, metrics, cost and outcome.",
    epilog="Exit codes: 0 good; 1 the thing asked about is not well; 2 wrong use or refused task; "
    "3 could not do it; 130 Ctrl-C.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
_SomeTask = Annotated[
    str | None,
    typer.Argument(metavar="[TASK]", help="A task's or trace's id, or the beginning; the latest by default."),
]
_NewTask = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="What to do, in words; or a YAML task file; or - for standard input."
    ),
]
_Repo = Annotated[
    Path | None, typer.Option("--repo", help="The repository to work on.", show_default="this folder")
]
_Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Who plans: rules, replay:FILE, openai:MODEL or anthropic:MODEL.",
        show_default="rules, or the setting AGENT_MODEL",
    ),
]
_Budget = Annotated[
    float | None,
    typer.Option("--budget-usd", help="US dollars that live models may cost.", show_default="no limit"),
]
_Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="<time>", help="How long it may take: 90, 90s, 10m.", show_default="no limit"
    ),
]
_Python = Annotated[
    Path | None,
    typer.Option(
        "--python",
        help="The Python that runs the repository's checks.",
        show_default="its .venv or venv, else $VIRTUAL_ENV, else ours",
    ),
]
_TestCommand = Annotated[
    str | None,
    typer.Option("--test-command", help="What checks the repository.", show_default="python -m pytest"),
]
_InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Edit the repository itself; refuses files with uncommitted changes."),
]
_Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from taskscope.version import VERSION

        typer.echo(f"taskscope {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def new(
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="What to do, in words.", show_default=False)
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("task.yml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    repo: _Repo = None,
    model: _Model = None,
    budget_usd: _Budget = None,
    timeout: _Timeout = None,
    python: _Python = None,
    test_command: _TestCommand = None,
    in_place: _InPlace = False,
) -> int:
    """Write a task file that `run` takes."""
    from .new import write_task
    from .task_file import Options

    options = Options(repo, model, budget_usd, timeout, python, test_command, in_place or None)
    return write_task(text, options, output, force=force)


@app.command()
def plan(
    task: _NewTask,
    *,
    repo: _Repo = None,
    model: _Model = None,
    budget_usd: _Budget = None,
    timeout: _Timeout = None,
    python: _Python = None,
    test_command: _TestCommand = None,
    as_json: _AsJson = False,
) -> int:
    """Diagnose and print what would be done; changes nothing."""
    from .plan import print_plan
    from .task_file import Options

    return print_plan(task, Options(repo, model, budget_usd, timeout, python, test_command), as_json=as_json)


@app.command()
def run(
    task: _NewTask,
    *,
    repo: _Repo = None,
    model: _Model = None,
    budget_usd: _Budget = None,
    timeout: _Timeout = None,
    python: _Python = None,
    test_command: _TestCommand = None,
    in_place: _InPlace = False,
    as_json: _AsJson = False,
) -> int:
    """Do a task; ends with the line that applies the patch."""
    from .run import run_task
    from .task_file import Options

    options = Options(repo, model, budget_usd, timeout, python, test_command, in_place or None)
    return run_task(task, options, as_json=as_json)


@app.command()
def status(*, as_json: _AsJson = False) -> int:
    """What is running, and what it does now."""
    from .history import tell_status

    return tell_status(as_json=as_json)


@app.command()
def watch(task: _SomeTask = None) -> int:
    """Follow a task of another process until it ends."""
    from .watch import watch_task

    return watch_task(task)


@app.command()
def history(*, limit: _Limit = 20, as_json: _AsJson = False) -> int:
    """What was done: the latest tasks."""
    from .history import list_tasks

    return list_tasks(limit, as_json=as_json)


@app.command()
def show(
    task: _SomeTask = None,
    *,
    whole: Annotated[
        bool, typer.Option("--all", help="A line for each span, also for equal ones in a row.")
    ] = False,
    as_json: _AsJson = False,
) -> int:
    """One task: how it ended, why, time, cost, and its tree."""
    from .show import show_task

    return show_task(task, is_whole=whole, as_json=as_json)


@app.command()
def logs(task: _SomeTask = None, *, limit: _Limit = 1000, as_json: _AsJson = False) -> int:
    """The log lines and events of a task."""
    from .logs import print_logs

    return print_logs(task, limit, as_json=as_json)


@app.command()
def health(*, as_json: _AsJson = False) -> int:
    """Run all health checks once.

    Exit code 1 only when a required one fails.
    """
    from .health import tell_health

    return tell_health(as_json=as_json)


@app.command()
def records(
    *,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="List the records that a destination refused.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Let all of those be sent again.")] = False,
    forget: Annotated[
        str | None,
        typer.Option(
            "--forget",
            metavar="<destination>",
            help="Keep no more account of one that is no longer used.",
            show_default=False,
        ),
    ] = None,
    as_json: _AsJson = False,
) -> int:
    """Where each record is: delivered, dropped, on its way."""
    from .records import forget_account, list_quarantine, retry_quarantine, tell_accounts

    if forget is not None:
        return forget_account(forget)
    if retry:
        return retry_quarantine()
    return list_quarantine(as_json=as_json) if quarantined else tell_accounts(as_json=as_json)


@app.command()
def ship(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is left, or a destination takes nothing.")
    ] = False,
) -> int:
    """Send what is stored to its destinations.

    They are OTEL_EXPORTER_OTLP_ENDPOINT and TASKSCOPE_DESTINATIONS. Without --once it goes on until Ctrl-C or
    SIGTERM. Exit code 3 when something is left.
    """
    from .ship import ship_records

    return ship_records(is_once=once)


@app.command()
def recover(*, as_json: _AsJson = False) -> int:
    """Bring home what killed processes left.

    Their last records, and what they had open as interrupted. The next start of anything does the same.
    """
    from .recover import recover_now

    return recover_now(as_json=as_json)


@app.command()
def serve() -> int:
    """Serve metrics, health and tasks by HTTP.

    On METRICS_HOST:METRICS_PORT, until Ctrl-C or SIGTERM.
    """
    from .serve import serve_until_stopped

    return serve_until_stopped()


@app.command()
def monitor() -> int:
    """The same as `serve`, and print each health check as it runs."""
    from .monitor import monitor_until_stopped

    return monitor_until_stopped()
