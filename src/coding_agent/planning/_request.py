"""What a model is shown: the task, findings and passages as text that is the same on every machine.

Paths are relative, and what differs from run to run (temporary folders, addresses) is blanked, so that a
recording can be replayed elsewhere.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import AgentError
from coding_agent.prompts import load_prompt
from coding_agent.records import Message, Passage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coding_agent.protocols import Files
    from coding_agent.records import Finding, Reply, Task

    from ._answers import Offer

_TEXT_LIMIT = 2000
"""Characters of one finding's message: enough for an assertion with its values."""
_WHOLE_FILE_LINES = 120
"""A file of a finding up to this length is shown whole."""
_LINES_AROUND = 20

_VOLATILE = (
    # Addresses in the repr of objects, also where pytest cut the repr in its middle: `...7f31c0>`.
    (re.compile(r"\b0x[0-9a-fA-F]{6,}\b|(?<=\.\.\.)\w*(?=>)"), "0x..."),
    (re.compile(r"/pytest-of-[^/\s]+/pytest-\d+\b"), "/pytest"),  # pytest numbers its runs
    (re.compile(r"\btmp[a-z0-9_]{8}\b"), "tmp..."),  # names that tempfile makes up
)


def build_request(
    task: Task, offers: Sequence[Offer], passages: Iterable[Passage], earlier: Sequence[str], root: Path
) -> list[Message]:
    """Return the conversation that asks for a plan."""
    text = load_prompt("request").substitute(
        task=task.text.strip(),
        findings="\n".join(_describe(number, offer, root) for number, offer in enumerate(offers, 1))
        or "none",
        earlier="\n".join(f"- {make_portable(title, root)}" for title in earlier) or "none",
        passages="\n\n".join(_quote(passage) for passage in passages) or "none",
    )
    return [
        Message(role="system", text=_clean(load_prompt("planner").template)),
        Message(role="user", text=_clean(text)),
    ]


def build_refusal(reply: Reply, problems: Sequence[str], root: Path) -> list[Message]:
    """Return the turns that say what is wrong with an answer: each tool call gets one, as the APIs insist."""
    listed = "\n".join(f"- {make_portable(problem, root)}" for problem in problems)
    text = _clean(load_prompt("refusal").substitute(problems=listed))
    said = Message(
        role="assistant",
        text=reply.text or ("" if reply.tool_calls else "(nothing)"),
        tool_calls=reply.tool_calls,
    )
    if not reply.tool_calls:
        return [said, Message(role="user", text=text)]
    answers = [Message(role="tool", text=text, tool_call_id=call.id) for call in reply.tool_calls]
    return [said, *answers]


def collect_passages(findings: Sequence[Finding], found: Iterable[Passage], files: Files) -> list[Passage]:
    """Return the code around the findings, then what retrieval found, each place once."""
    passages = [passage for finding in findings for passage in _surroundings(finding, files)] + list(found)
    seen = {(passage.path, passage.start_line, passage.end_line): passage for passage in reversed(passages)}
    return list(reversed(seen.values()))


def _surroundings(finding: Finding, files: Files) -> Iterable[Passage]:
    """Return the code at the finding, and the test that reports it."""
    if finding.path is not None:
        yield from _window(finding.path, finding.line or 1, files)
    path, _, name = str(finding.data.get("test", "")).partition("::")
    if name and path != finding.path:
        yield from _window(path, _find_line(path, name, files), files)


def _window(path: str, line: int, files: Files) -> Iterable[Passage]:
    lines = _read_lines(path, files)
    if not lines:
        return
    is_short = len(lines) <= _WHOLE_FILE_LINES
    start = 1 if is_short else max(1, line - _LINES_AROUND)
    end = len(lines) if is_short else min(len(lines), line + _LINES_AROUND)
    yield Passage(
        path=path, start_line=start, end_line=end, text="\n".join(lines[start - 1 : end]), score=1.0
    )


def _find_line(path: str, test: str, files: Files) -> int:
    name = test.rpartition("::")[2].partition("[")[0]
    start = re.compile(rf"\s*(async\s+)?def\s+{re.escape(name)}\b")
    return next((number for number, line in enumerate(_read_lines(path, files), 1) if start.match(line)), 1)


def _read_lines(path: str, files: Files) -> list[str]:
    try:
        return files.read(path).split("\n")
    except AgentError:  # gone, or no text: the finding alone has to do
        return []


def _describe(number: int, offer: Offer, root: Path) -> str:
    finding = offer.finding
    place = f" at {finding.where()}" if finding.where() else ""
    details = [str(finding.data[key]) for key in ("test", "text") if finding.data.get(key)]
    lines = [f"{number}. {finding.rule}{place}: {_shorten(finding.message)}"]
    lines += [f"   {_shorten(detail)}" for detail in details if detail not in finding.message]
    lines += [f"   skill {name}: {description}" for name, description in sorted(offer.skills.items())]
    return make_portable("\n".join(lines), root)


def _shorten(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


def _quote(passage: Passage) -> str:
    return f"{passage.path}, lines {passage.start_line} to {passage.end_line}:\n````\n{passage.text}\n````"


def make_portable(text: str, root: Path) -> str:
    """Return the text without what is true of this machine or this run only."""
    text = text.replace(f"{root}/", "")
    for folder, short in ((root, "."), (tempfile.gettempdir(), "<tmp>"), (Path.home(), "~")):
        if str(folder) != "/":
            text = re.sub(rf"{re.escape(str(folder))}(?![\w.-])", short, text)  # not in the middle of a name
    for pattern, short in _VOLATILE:
        text = pattern.sub(short, text)
    return text


def _clean(text: str) -> str:
    """Return text that can be sent as JSON: a lone surrogate (a file name that is not UTF-8) becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
