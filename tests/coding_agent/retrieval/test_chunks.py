"""Laws of decoding and of cutting a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coding_agent.retrieval.chunks import cut, decode
from coding_agent.retrieval.files import SkippedFileError

LINES = st.lists(
    st.sampled_from(
        ["", "    x = 1", "def f():", "@cached", "class A:", "async def g():", "text " * 40, "y" * 7_000]
    ),
    max_size=150,
)


@given(LINES, st.sampled_from(["a.py", "a.txt"]))
def test_every_line_that_says_something_is_in_exactly_one_chunk(lines: list[str], path: str) -> None:
    """Chunks stand in order, do not overlap, stay small, and leave out nothing but white space."""
    chunks = cut(path, "\n".join(lines))
    seen: dict[int, str] = {}
    for chunk in chunks:
        assert len(chunk.text) <= 6_000
        assert chunk.end_line - chunk.start_line < 60
        for number, line in enumerate(chunk.text.split("\n"), start=chunk.start_line):
            seen[number] = seen.get(number, "") + line
        assert number == chunk.end_line
    said = {number: line for number, line in enumerate(lines, start=1) if line.strip()}
    assert {number: line for number, line in seen.items() if line.strip()} == said
    assert [chunk.start_line for chunk in chunks] == sorted(chunk.start_line for chunk in chunks)


def test_a_definition_stays_whole_with_its_decorators() -> None:
    """Python is cut before a definition's first decorator, even where the file does not compile."""
    head = [f"import module_{number}" for number in range(25)]
    body = ["@first", "@second(", "    1)", "def total(prices)", *["    prices += 1"] * 20]
    chunks = cut("a.py", "\n".join(head + body))
    assert [(chunk.start_line, chunk.end_line) for chunk in chunks] == [(1, 25), (26, 49)]
    assert chunks[1].text.startswith("@first")


def test_a_long_definition_is_cut_evenly() -> None:
    """A definition of 100 lines becomes three alike, not two of 40 and a rest."""
    lines = ["def long():", *["    step()"] * 99]
    assert [chunk.end_line for chunk in cut("a.py", "\n".join(lines))] == [34, 68, 100]


@pytest.mark.parametrize(
    "path, content, reason",
    [
        ("a.bin", b"ab\0c", "binary"),
        ("a.txt", b"\xff\xfe\xfd", "undecodable"),
        ("a.py", b"# coding: no-such-codec\n", "undecodable"),
        ("a.py", b"# coding: rot13\nx = 1\n", "undecodable"),
        ("a.py", b"# coding: raw-unicode-escape\nx = '\\ud800'\n", "undecodable"),
        ("a.py", "# größe\n".encode("latin-1"), "undecodable"),
    ],
)
def test_what_is_not_text_is_refused_with_its_reason(path: str, content: bytes, reason: str) -> None:
    """Bytes that are no text of their kind of file raise, and say why in one word."""
    with pytest.raises(SkippedFileError) as caught:
        decode(path, content)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "path, content, text",
    [
        ("a.py", "# coding: latin-1\n# größe\n".encode("latin-1"), "# coding: latin-1\n# größe\n"),
        ("a.py", b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        ("a.md", b"\xef\xbb\xbf# Gr\xc3\xb6\xc3\x9fe\n", "# Größe\n"),
        ("a.md", b"", ""),
    ],
)
def test_text_is_decoded_as_its_file_says(path: str, content: bytes, text: str) -> None:
    """Python follows its coding cookie, all else is UTF-8, a byte order mark is no text."""
    assert decode(path, content) == text


@given(st.binary(max_size=300), st.sampled_from(["a.py", "a.txt"]))
def test_any_bytes_become_text_or_a_reason(content: bytes, path: str) -> None:
    """Decoding never fails in another way, and what it gives can be written as UTF-8."""
    try:
        text = decode(path, content)
    except SkippedFileError:
        return
    text.encode()
