"""A process that writes open spans, says so on stdout and waits to be killed. Run by path.

Usage: victim.py STORE [NAMES...]: a task, an agent, and a tool for each name.
"""

from __future__ import annotations

import sys
from pathlib import Path

from taskscope.store.accounts import Accounts
from taskscope.store.session import StoreSession
from tests.taskscope.store.builders import make_agent, make_chat, make_task, make_tool, open_and_end


def main() -> None:
    """Write what a task in progress leaves, and wait."""
    path, task_id, *tools = sys.argv[1:]
    session = StoreSession(Path(path))
    task = make_task(task_id)
    agent = make_agent(parent=task.span_id)
    spans = [task, agent, *(make_tool(name, parent=agent.span_id) for name in tools)]
    session.write([open_and_end(span)[0] for span in spans], Accounts())
    session.write([make_chat(parent=agent.span_id)], Accounts())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    session.close()


main()
