"""Laws of the splitting that both stages share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coding_agent.retrieval.tokens import split_tokens

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("parseHTTPResponse2", ["parsehttpresponse2", "parse", "http", "response", "2"]),
        ("snake_case_name", ["snake_case_name", "snake", "case", "name"]),
        ("_private", ["_private", "private"]),
        ("total", ["total"]),
        ("Total", ["total"]),
        ("naïveCount", ["naïvecount", "naïve", "count"]),
        ("C++ x:y 'q' \"z\" a-b", ["c", "x", "y", "q", "z", "a", "b"]),
        ("🎉\0", []),
    ],
)
def test_identifiers_count_whole_and_by_their_parts(text: str, tokens: list[str]) -> None:
    """An identifier is followed by its camelCase and snake_case parts, all in lower case."""
    assert split_tokens(text) == tokens


@given(ANY_TEXT)
def test_any_text_splits_into_short_words(text: str) -> None:
    """No text raises, and a token never holds a separator, a quote or a surrogate."""
    for token in split_tokens(text):
        assert 0 < len(token) <= 64 * 3  # a capital may become up to three characters in lower case
        assert '"' not in token
        assert "\0" not in token
        token.encode()


@given(ANY_TEXT, ANY_TEXT)
def test_splitting_knows_no_neighbours(left: str, right: str) -> None:
    """Texts joined by a blank have the tokens of both."""
    assert split_tokens(f"{left} {right}") == split_tokens(left) + split_tokens(right)
