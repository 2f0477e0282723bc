"""The commit that broke a test, by `git bisect run`, and its revert where the whole suite passes with it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.records import Finding, Repair, RepairOutcome
from coding_agent.skills.editing import Transaction
from coding_agent.skills.modules import is_test_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from coding_agent.protocols import Workbench

_HISTORY_LIMIT = 4096
"""Commits that are walked back at most."""

# Runs in the bisected tree with the target's Python. What a commit gave is kept, so that the ends, which are
# probed again at each widening, run once. The tree is left as it was, or git could not check out the next.
_PROBE = r"""
import json, os, pathlib, subprocess, sys
test, log, newest = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
commit = subprocess.check_output(["git", "rev-parse", "HEAD"]).decode().strip()
known = json.loads(log.read_text()) if log.exists() else {}
def run():
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    if code == 2 and "::" not in test:
        return 1
    return code if code in (0, 1) else 125
if commit not in known:
    file = pathlib.Path(test.partition("::")[0])
    known[commit] = run() if file.exists() else 125
    if known[commit] == 125 and (newest / file).is_file():
        before = file.read_bytes() if file.is_file() else None
        made = [folder for folder in file.parents if not folder.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes((newest / file).read_bytes())
            known[commit] = run()
        finally:
            file.write_bytes(before) if before is not None else file.unlink()
            for folder in made:
                folder.rmdir()
    log.write_text(json.dumps(known))
sys.exit(known[commit])
"""


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Name the commit, and take its sources back if that makes the whole suite pass."""
    test = str(finding.data["test"])
    commit, codes = _search(test, bench)
    head = bench.git.run("rev-parse", "HEAD").stdout.strip()
    if codes.get(head) == 0:
        return _blame_uncommitted(test, bench)
    if commit is None:
        return _decline(f"history holds no commit at which {test} passes and after which it fails")
    found = _describe(commit, test, bench)
    done = _revert(commit, bench)
    return replace(done, summary=f"{found.message}; {done.summary}", findings=(found,))


def _search(test: str, bench: Workbench) -> tuple[str | None, Mapping[str, int]]:
    """Return the first bad commit, None where there is none, and what each probed commit gave."""
    listed = bench.git.run("rev-list", "--first-parent", f"-n{_HISTORY_LIMIT}", "HEAD")
    history = listed.stdout.split() if listed.is_ok else []
    codes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="bisect-log-") as folder:
        log = Path(folder, "codes.json")
        probe = (str(bench.tests.python), "-c", _PROBE, test, str(log), str(bench.root))
        for good in _ends(history):
            bench.limits.check()
            commit = bench.git.bisect(probe, good=good, bad=history[0])
            codes = json.loads(log.read_text(encoding="utf-8")) if log.exists() else {}
            # A good end that is good leaves nothing to widen; nor does a bad end that is not bad.
            if commit or codes.get(history[0]) != 1 or codes.get(good) == 0:
                return commit, codes
    return None, codes


def _ends(history: Sequence[str]) -> Iterator[str]:
    """Yield the commits to try as the good end: 1, 2, 4 ... back, and the oldest."""
    back = 1
    while back < len(history) - 1:
        yield history[back]
        back *= 2
    if history:
        yield history[-1]


def _blame_uncommitted(test: str, bench: Workbench) -> Repair:
    changed = bench.git.run("diff", "--name-only", "--relative", "HEAD").stdout.split("\n")
    files = ", ".join(path for path in changed if path) or "new files"
    text = f"{test} passes in the last commit: the cause is in the uncommitted changes ({files})"
    found = Finding(rule="test/uncommitted", message=text, data={"test": test, "files": files, "text": text})
    return replace(_decline(text), findings=(found,))


def _describe(commit: str, test: str, bench: Workbench) -> Finding:
    told = bench.git.run("show", "-s", "--format=%s%n%aI", commit).stdout.split("\n")
    subject, authored = told[0], told[1]
    return Finding(
        rule="test/bisected",
        message=f"{test} fails since {commit[:10]} {subject!r} ({authored})",
        data={"test": test, "commit": commit, "subject": subject, "authored_at": authored},
    )


def _revert(commit: str, bench: Workbench) -> Repair:
    """Take back what the commit did to files other than tests; keep it if the whole suite passes then."""
    between = (commit, f"{commit}~1")
    names = bench.git.run("diff", "--name-only", "--no-renames", "--relative", "-z", *between)
    paths = [path for path in names.stdout.split("\0") if path and not is_test_file(path)]
    if not names.is_ok or not paths:
        return _decline("it has no parent, or changed nothing but tests: nothing to take back")
    options = ("--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff")
    patch = bench.git.run("diff", *options, *between, "--", *paths)
    with Transaction(bench) as edit:
        edit.remember(*paths)
        if not patch.is_ok or patch.is_truncated or not _apply(patch.stdout, paths, bench):
            return _fail("its revert does not apply to the files as they are now")
        report = bench.tests.run()
        if not report.is_passed:
            left = ", ".join(failure.test for failure in report.failures[:3]) or "the suite"
            return _fail(f"with its revert {left} would fail")
        changed = edit.keep()
    return Repair(outcome=RepairOutcome.SUCCEEDED, summary="reverted", files_changed=changed)


def _apply(patch: str, paths: Sequence[str], bench: Workbench) -> bool:
    """Apply to the files only; where later changes are in the way, merge, and leave the index as it was."""
    if bench.git.run("apply", "--whitespace=nowarn", "-", stdin=patch).is_ok:
        return True
    if not bench.git.run("diff", "--cached", "--quiet").is_ok:
        return False
    merged = bench.git.run("apply", "--3way", "--whitespace=nowarn", "-", stdin=patch)
    bench.git.run("reset", "-q", "--", *paths)
    return merged.is_ok


def _decline(reason: str) -> Repair:
    return Repair(outcome=RepairOutcome.NOT_APPLICABLE, summary=reason)


def _fail(reason: str) -> Repair:
    return Repair(outcome=RepairOutcome.FAILED, summary=reason)
