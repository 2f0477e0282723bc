"""Each kind of syntax error is repaired on repositories of three layouts, proven by their own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.compiler import find_faults
from coding_agent.records import RepairOutcome
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.repositories import COMMANDS, LAYOUTS
from tests.coding_agent.skills.workshop import make_bench, snapshot, write_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from coding_agent.compiler import Fault

pytestmark = pytest.mark.usefixtures("_lean_pytest")

ORDERS, WORDS, WRAP = "orders.py", "src/textkit/words.py", "src/textkit/wrap.py"
ACCOUNT, FEES = "bank/model/account.py", "bank/rules/fees.py"

# Rule, skill, layout, file, what stands there in health, what it is broken to.
BROKEN = [
    (
        "expected-colon",
        "missing_colon",
        "flat",
        ORDERS,
        "def net(prices, discount=0):",
        "def net(prices, discount=0)",
    ),
    ("expected-colon", "missing_colon", "src", WORDS, 'text: str) -> "Counter":', 'text: str) -> "Counter"'),
    ("expected-colon", "missing_colon", "package", ACCOUNT, "        try:", "        try"),
    ("missing-comma", "missing_comma", "flat", ORDERS, '{"book": 7, "toy"', '{"book": 7 "toy"'),
    ("missing-comma", "missing_comma", "src", WORDS, "(word, 0)", "(word 0)"),
    ("missing-comma", "missing_comma", "package", FEES, "(100, 1)", "(100 1)"),
    ("expected-colon", "missing_colon", "flat", ORDERS, '"toy": 19', '"toy" 19'),
    ("unmatched-bracket", "unmatched_bracket", "flat", ORDERS, "sum(prices)\n", "sum(prices))\n"),
    ("unmatched-bracket", "unmatched_bracket", "src", WRAP, 'text.split(" "):', 'text.split" "):'),
    ("unmatched-bracket", "unmatched_bracket", "package", ACCOUNT, "sum(self.moves)", "sum self.moves)"),
    ("unmatched-bracket", "unmatched_bracket", "flat", ORDERS, "sum(prices)", "sumprices)"),
    ("mismatched-bracket", "unmatched_bracket", "package", FEES, "    (1000, 5),", "    1000, 5),"),
    ("mismatched-bracket", "unmatched_bracket", "flat", ORDERS, 'order["state"] in', 'order["state") in'),
    (
        "mismatched-bracket",
        "unmatched_bracket",
        "src",
        WORDS,
        "Counter().show(text).seen",
        "Counter().show(text].seen",
    ),
    (
        "mismatched-bracket",
        "unmatched_bracket",
        "package",
        FEES,
        "    (10000, 20),\n]",
        "    (10000, 20),\n)",
    ),
    (
        "never-closed",
        "unclosed_bracket",
        "flat",
        ORDERS,
        "round(total * (1 - discount), 2)",
        "round(total * (1 - discount, 2)",
    ),
    (
        "never-closed",
        "unclosed_bracket",
        "src",
        WORDS,
        "self.seen.get(word, 0) + 1",
        "self.seen.get(word, 0 + 1",
    ),
    (
        "never-closed",
        "unclosed_bracket",
        "package",
        ACCOUNT,
        "field(default_factory=list)",
        "field(default_factory=list",
    ),
    ("unterminated-string", "unterminated_string", "flat", ORDERS, '"none of " + name', '"none of + name'),
    (
        "unterminated-string",
        "unterminated_string",
        "src",
        WRAP,
        'lines, current = [], ""',
        'lines, current = [], "',
    ),
    ("unterminated-string", "unterminated_string", "package", FEES, 'message += "."', 'message += ".'),
    (
        "unterminated-string",
        "unterminated_string",
        "flat",
        ORDERS,
        'f"{count} x {name}"',
        "f\"{count} x {name}'",
    ),
    (
        "unterminated-string",
        "unterminated_string",
        "src",
        WORDS,
        '"""Counts what it is shown."""',
        '"""Counts what it is shown.""',
    ),
    ("unterminated-string", "unterminated_string", "package", ACCOUNT, '"not enough: "', 'not enough: "'),
    ("expected-indent", "indentation", "flat", ORDERS, "        found", "    found"),
    ("expected-indent", "indentation", "src", WORDS, "    return Counter()", "return Counter()"),
    (
        "expected-indent",
        "indentation",
        "package",
        FEES,
        "        if amount <= limit:\n            return cost",
        "    if amount <= limit:\n        return cost",
    ),
    (
        "unexpected-indent",
        "indentation",
        "flat",
        ORDERS,
        "    return round(total",
        "      return round(total",
    ),
    (
        "unexpected-indent",
        "indentation",
        "src",
        WORDS,
        "        self.seen = {}",
        "            self.seen = {}",
    ),
    ("unindent", "indentation", "src", WRAP, "    lines, current", "        lines, current"),
    ("unexpected-indent", "indentation", "package", ACCOUNT, "    limit: int = 0", "        limit: int = 0"),
    ("unindent", "indentation", "flat", ORDERS, "    return label", "  return label"),
    ("unindent", "indentation", "src", WORDS, "        return self", "       return self"),
    ("unindent", "indentation", "package", FEES, "    return 50", "   return 50"),
    ("unindent", "indentation", "flat", ORDERS, "    rate = RATES", "\trate = RATES"),
    (
        "invalid-character",
        "invalid_character",
        "flat",
        ORDERS,
        '"none of "',
        "\N{LEFT DOUBLE QUOTATION MARK}none of \N{RIGHT DOUBLE QUOTATION MARK}",
    ),
    (
        "invalid-character",
        "invalid_character",
        "src",
        WORDS,
        "key=len",
        "key\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}len",
    ),
    (
        "invalid-character",
        "invalid_character",
        "package",
        FEES,
        "(100, 1)",
        "\N{FULLWIDTH LEFT PARENTHESIS}100\N{FULLWIDTH COMMA} 1\N{FULLWIDTH RIGHT PARENTHESIS}",
    ),
    ("invalid-character", "invalid_character", "flat", ORDERS, "(1 - discount)", "(1 \N{EN DASH} discount)"),
    (
        "invalid-character",
        "invalid_character",
        "src",
        WRAP,
        '"> "',
        "\N{LEFT SINGLE QUOTATION MARK}> \N{RIGHT SINGLE QUOTATION MARK}",
    ),
    ("invalid-character", "invalid_character", "package", ACCOUNT, "-amount", "\N{MINUS SIGN}amount"),
]
IDS = [f"{rule}-{layout}-{number}" for number, (rule, _, layout, *_) in enumerate(BROKEN)]


def break_it(layout: str, path: str, good: str, bad: str) -> dict[str, str]:
    """Return the files of a repository with one of them broken."""
    files = LAYOUTS[layout]
    assert files[path].count(good) >= 1
    return files | {path: files[path].replace(good, bad, 1)}


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Fault]]:
    """What the compiler says of each broken repository; one child answers for all of them."""
    root = tmp_path_factory.mktemp("broken")
    for name, (_, _, layout, path, good, bad) in zip(IDS, BROKEN, strict=True):
        write_files(root / name, break_it(layout, path, good, bad))
    bench = make_bench(root)
    found: dict[str, dict[str, Fault]] = {name: {} for name in IDS}
    for place, fault in find_faults(bench, bench.files.paths("**/*.py")).items():
        name, _, path = place.partition("/")
        found[name][path] = fault
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_healthy_repository_passes_and_nothing_is_found(tmp_path: Path, layout: str) -> None:
    """What the repairs are measured by holds: each repository passes its own tests before it is broken."""
    bench = make_bench(write_files(tmp_path / "work", LAYOUTS[layout]))

    assert bench.tests.run().is_passed
    assert make_bench(bench.root, test_command=COMMANDS[layout]).tests.run().is_passed
    assert find_faults(bench, bench.files.paths("**/*.py")) == {}


@pytest.mark.parametrize("name, broken", [*zip(IDS, BROKEN, strict=True)], ids=IDS)
def test_the_fault_is_named_and_repaired(
    tmp_path: Path, faults: Mapping[str, Mapping[str, Fault]], name: str, broken: tuple[str, ...]
) -> None:
    """The compiler's message chooses the skill, and after its one run the repository passes its own tests."""
    rule, skill, layout, path, good, bad = broken
    files = LAYOUTS[layout]
    root = write_files(tmp_path / "work", break_it(layout, path, good, bad))
    bench = make_bench(root, test_command=COMMANDS[layout])

    ((place, fault),) = faults[name].items()
    finding = fault.as_finding(place)
    chosen = FolderLibrary(tmp_path / "skills").select(finding)[0]
    repair = chosen.run(finding, bench)

    assert (finding.rule, finding.path, chosen.name) == (f"syntax/{rule}", path, skill)
    assert (repair.outcome, repair.files_changed) == (RepairOutcome.SUCCEEDED, (path,)), repair.summary
    is_as_in_health = snapshot(root) == {name: text.encode() for name, text in files.items()}
    assert is_as_in_health or bench.tests.run().is_passed
