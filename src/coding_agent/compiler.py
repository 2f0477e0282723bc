"""What the target's own Python says of source texts: does it compile, and if not, where and why.

One child process answers for any number of files and texts, since the messages of 3.8 to 3.14 differ in
detail and the target's version is the law. No judgement on what to do about it: that is for skills.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coding_agent.errors import ToolFailedError
from coding_agent.records import Command, Fact, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.protocols import Workbench

_SLUGS = (
    ("expected-colon", r"expected ':'|':' expected after dictionary key"),
    ("missing-comma", r"Perhaps you forgot a comma"),
    ("unterminated-string", r"^unterminated .*string literal|while scanning (string|triple)"),
    ("unmatched-bracket", r"^(f-string: )?unmatched '"),
    ("mismatched-bracket", r"^(f-string: )?closing parenthesis '.' does not match opening"),
    ("never-closed", r"was never closed"),
    ("expected-indent", r"expected an indented block"),
    ("unexpected-indent", r"unexpected indent"),
    ("unindent", r"unindent does not match|inconsistent use of tabs"),
    ("invalid-character", r"invalid (non-printable )?character"),
)
"""Slug and what the compiler's message holds: texts of CPython 3.8 to 3.14."""

_VAGUE = re.compile(r"EO[FL] while|in identifier")
"""Texts of 3.8 and 3.9 that point to the end of the line or file instead of the fault."""

# Runs in the target's Python (3.6 or newer), so it is written for the oldest. Only faults and digests come
# back, which keeps the answer small. A digest of the syntax tree tells whether two texts mean the same.
_CHILD = r"""
import json, sys, warnings
warnings.simplefilter("ignore")
def judge(source, name, wants_digest):
    try:
        compile(source, name, "exec", 0, True)
        if not wants_digest:
            return None
        import ast  # where only files are judged, they do not wait for it
        return {"digest": str(hash(ast.dump(ast.parse(source))))}
    except SyntaxError as e:
        return {"text": str(e.msg), "line": e.lineno, "column": e.offset,
                "end_line": getattr(e, "end_lineno", None), "end_column": getattr(e, "end_offset", None)}
    except (ValueError, RecursionError, MemoryError, OverflowError) as e:
        text = str(e) or type(e).__name__
        return {"text": text, "line": 1, "column": 1, "end_line": None, "end_column": None}
asked = json.loads(sys.stdin.read())
files = {}
for path in asked["files"]:
    try:
        with open(path, "rb") as f:
            source = f.read()
    except OSError:
        continue
    verdict = judge(source, path, False)
    if verdict:
        files[path] = verdict
print(json.dumps({"files": files, "texts": [judge(t, "<candidate>", True) for t in asked["texts"]]}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a text does not compile; lines and columns count from 1, None where the compiler is silent."""

    text: str
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None

    @property
    def slug(self) -> str:
        """The kind of fault, as it stands behind `syntax/` in a finding's rule."""
        found = (slug for slug, pattern in _SLUGS if re.search(pattern, self.text))
        return next(found, "other")

    def as_finding(self, path: str) -> Finding:
        """Return the fault as a finding in that file."""
        places = {"end_line": self.end_line, "end_column": self.end_column}
        data: dict[str, Fact] = {"text": self.text}
        data |= {key: place for key, place in places.items() if place is not None}
        return Finding(
            rule=f"syntax/{self.slug}",
            message=self.text,
            path=path,
            line=self.line,
            column=self.column,
            data=data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one text: a fault, or the digest of its syntax tree.

    Digests compare within one answer only: they are hashes of the child that gave them.
    """

    fault: Fault | None = None
    digest: str = ""


def find_faults(bench: Workbench, paths: Sequence[str]) -> Mapping[str, Fault]:
    """Return the fault of each file that does not compile.

    Python 3.8 and 3.9 say a bare `invalid syntax` where newer ones name the fault. Then our own Python is
    asked too, and believed when it objects as well: the target has still the last word on every repair.
    """
    faults = _read_faults(_ask(bench, bench.tests.python, paths, ()))
    vague = [path for path, fault in faults.items() if fault.slug == "other" or _VAGUE.search(fault.text)]
    own = Path(sys.executable)
    if vague and own != bench.tests.python:
        opinions = _read_faults(_ask(bench, own, vague, ()))
        faults |= {path: fault for path, fault in opinions.items() if fault.slug != "other"}
    return faults


def compile_texts(bench: Workbench, texts: Sequence[str]) -> Sequence[Verdict]:
    """Return one verdict a text, in order."""
    if not texts:
        return ()
    answer = _ask(bench, bench.tests.python, (), texts)
    return [
        Verdict(digest=found["digest"]) if "digest" in found else Verdict(fault=Fault(**found))
        for found in answer["texts"]
    ]


def _read_faults(answer: Mapping[str, Any]) -> dict[str, Fault]:
    return {path: Fault(**found) for path, found in answer["files"].items()}


def _ask(bench: Workbench, python: Path, paths: Sequence[str], texts: Sequence[str]) -> Mapping[str, Any]:
    """Ask that Python, and ours where it cannot answer (too old, broken)."""
    question = json.dumps({"files": list(paths), "texts": list(texts)})
    said = ""
    for interpreter in dict.fromkeys((python, Path(sys.executable))):
        # -I -S: neither the target's own json.py or ast.py nor its site hooks may take part.
        result = bench.shell.run(Command(argv=(str(interpreter), "-I", "-S", "-c", _CHILD), stdin=question))
        answer = _parse(result.stdout) if result.is_ok else None
        if answer is not None:
            return answer
        said = (result.stderr or result.stdout)[-300:]
    msg = f"neither {python} nor our own Python compiles {len(paths)} files and {len(texts)} texts: {said!r}"
    raise ToolFailedError(
        msg,
        hint="run that interpreter by hand with `-I -S -c 'import ast, json'`, or name another with --python",
    )


def _parse(stdout: str) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(stdout)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and {"files", "texts"} <= answer.keys() else None
