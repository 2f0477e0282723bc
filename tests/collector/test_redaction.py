"""Laws of the patterns that stand between records and rules: they let too much pass, never too little."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector._secret_names import build_harmless_pattern, build_secret_pattern
from collector._sieve import Sieve, exact_sieves, find_sieves, lower_sieves
from collector.redaction import build
from taskscope.redaction import RULES, Rule, is_secret_name
from taskscope.redaction.names import HARMLESS_ENDS, KEY_OWNERS, SECRET_WORDS
from tests.taskscope.corpus import KINDS, make_samples
from tests.taskscope.test_redaction import NAMES, RARE

SAMPLES = tuple(make_samples(random.Random(20261128), 3))
SECRET, HARMLESS = re.compile(build_secret_pattern()), re.compile(build_harmless_pattern())
WORDS = sorted({*SECRET_WORDS, *KEY_OWNERS, *HARMLESS_ENDS, "key", "input", "value", "a", "x5"})


def passes(text: str, sieve: Sieve) -> bool:
    return sieve.literal in text and re.search(sieve.pattern, text) is not None


def as_go_writes(text: str) -> str:
    """The text inside of a JSON object as Go writes it."""
    written = json.dumps({"it": text}, separators=(",", ":"))
    return written.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def finds(rule: Rule, text: str) -> bool:
    return re.search(rule.pattern, text, re.ASCII | (re.IGNORECASE if rule.any_case else 0)) is not None


def hold(texts: list[str]) -> None:
    """Each rule that finds something in a text has a sieve that lets it pass, at the first look and later."""
    first_exact, first_lower = exact_sieves(), lower_sieves()
    for text in texts:
        for rule in RULES:
            if finds(rule, text):
                written = as_go_writes(text)
                seen = written.lower() if rule.any_case else written
                assert any(passes(seen, sieve) for sieve in find_sieves(rule)), (rule.name, text)
                first = first_lower if rule.any_case else first_exact
                assert any(passes(seen, sieve) for sieve in first), (rule.name, text)


@pytest.mark.parametrize("kind", KINDS)
def test_no_sieve_holds_a_secret_back(kind: str) -> None:
    """What a rule finds in a text of the corpus passes its sieve, and that of the first look, as JSON."""
    hold([sample.text for sample in SAMPLES if sample.kind == kind])


def test_no_sieve_holds_a_rare_secret_back() -> None:
    """The same for the kinds that have a rule and no place in the corpus, behind odd characters."""
    hold(
        [
            f"{before}{text}{after}"
            for text in RARE.values()
            for before in ("", "\n", " ", '"', "&")
            for after in ("", ".")
        ]
    )


@pytest.mark.parametrize(
    "sign", ["=", ":", " = ", ": ", '": "', "':'", " => ", ":=", '\\": \\"', "%3D", "%22%3A%22"]
)
@pytest.mark.parametrize(
    "key", ["password", "API_KEY", "clientSecret", "auth-token", "secret_access_key", "db;pwd"]
)
def test_no_sieve_holds_a_pair_back(key: str, sign: str) -> None:
    """A key and its value pass, whatever quotes, spaces and color codes stand between them."""
    hold(
        [
            f"{key}{sign}hunter2x1 {key}\x1b[0m{sign}\x1b[31mhunter2x1",
            json.dumps({"a": f"{key}{sign}hunter2x1"}),
        ]
    )


@pytest.mark.parametrize("name", [name for name, is_secret in NAMES if is_secret])
def test_the_name_of_a_secret_passes_the_first_look(name: str) -> None:
    """A key that stands for a secret is seen in a record's JSON, also in a map inside of it."""
    for record in ({name: 1}, {f"{name}_mode": 1}, {"a": {name: [1]}}, {"a": [json.dumps({name: 1})]}):
        written = json.dumps(record, separators=(",", ":")).lower()
        assert any(passes(written, sieve) for sieve in lower_sieves())


def test_usual_spans_pass_no_sieve() -> None:
    """Counts of tokens and the contract's own names make no record suspect, which would cost it much."""
    record = {
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.token.modality": "text",
        "llm.token_count.prompt": 120,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.model": "gpt-5-mini-2026-07-18",
        "gen_ai.response.id": "resp_0123456789abcdef0123456789abcdef",
        "taskscope.task.verification": "passed",
        "server.address": "api.openai.com",
        "url.full": "https://api.openai.com/v1/chat/completions",
    }
    written = json.dumps(record, separators=(",", ":"))
    assert [sieve for sieve in exact_sieves() if passes(written, sieve)] == []
    assert [sieve for sieve in lower_sieves() if passes(written.lower(), sieve)] == []


def is_secret(name: str) -> bool:
    return SECRET.search(name) is not None and HARMLESS.search(name) is None


@pytest.mark.parametrize("name, expected", NAMES)
def test_names_are_told_as_our_redactor_does(name: str, expected: bool) -> None:
    """The two patterns say of each name of the redactor's own tests what it says."""
    assert is_secret(name) is expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(WORDS),
            st.sampled_from("luc"),
            st.sampled_from(["", ".", "_", "-", "1", " ", "ä"]),
        ),
        max_size=5,
    )
)
def test_names_of_drawn_words_are_told_alike(parts: list[tuple[str, str, str]]) -> None:
    """Any words in small letters, capitals or with a capital first are told alike, whatever is between."""
    forms = {"l": str.lower, "u": str.upper, "c": str.capitalize}
    name = "".join(forms[form](word) + sign for word, form, sign in parts)
    if not re.search(r"\.[0-9]+$", name):  # that is an item of a list, laid flat
        assert is_secret(name) is is_secret_name(name), name


@given(st.text("aAkKeEyYtTiId.1_", max_size=12))
def test_names_of_drawn_letters_are_told_alike(name: str) -> None:
    """So are any letters, where words begin and end in odd places."""
    if not re.search(r"\.[0-9]+$", name):
        assert is_secret(name) is is_secret_name(name), name


def test_every_rule_is_there_in_each_kind_of_record() -> None:
    """No signal forgets a rule: each pattern stands in every group that cleans."""
    [processor] = build()["processors"].values()
    for signal in ("trace_statements", "log_statements", "metric_statements"):
        for group in processor[signal]:
            if "conditions" in group:
                said = "\n".join(group["statements"])
                for rule in RULES:
                    assert json.dumps(rule.pattern)[1:-1].replace("$", "$$") in said, (
                        group["context"],
                        rule.name,
                    )
