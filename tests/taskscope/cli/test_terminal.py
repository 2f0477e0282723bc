"""What content may do to a terminal: nothing."""

from __future__ import annotations

import io

import pytest

from taskscope.cli.terminal import ASCII, UNICODE, Screen, choose_signs, clean, open_screen, shorten

ESC, CSI, OSC, ST, BEL = "\x1b", "\x9b", "\x9d", "\x9c", "\x07"
HOSTILE = {
    "red": f"{ESC}[31mred{ESC}[0m",
    "red, 8 bit": f"{CSI}31mred",
    "cursor home": f"{ESC}[H",
    "cursor up": f"{ESC}[5A",
    "cursor back": f"{ESC}[99D",
    "erase screen": f"{ESC}[2J",
    "erase scrollback": f"{ESC}[3J",
    "erase line": f"{ESC}[2K",
    "scroll": f"{ESC}[5S",
    "alternate screen": f"{ESC}[?1049h",
    "hide cursor": f"{ESC}[?25l",
    "bracketed paste": f"{ESC}[200~ls{ESC}[201~",
    "mouse": f"{ESC}[?1000h",
    "report cursor": f"{ESC}[6n",
    "report device": f"{ESC}[c",
    "report terminal, 8 bit": f"{CSI}>q",
    "resize window": f"{ESC}[8;1;1t",
    "report title": f"{ESC}[21t",
    "soft reset": f"{ESC}[!p",
    "full reset": f"{ESC}c",
    "character set": f"{ESC}(0",
    "shift out": "\x0e",
    "shift in": "\x0f",
    "title": f"{ESC}]0;owned{BEL}",
    "title, ST": f"{ESC}]2;owned{ESC}\\",
    "title, 8 bit": f"{OSC}0;owned{ST}",
    "link": f"{ESC}]8;;https://example.invalid{ESC}\\click{ESC}]8;;{ESC}\\",
    "link, BEL": f"{ESC}]8;;https://example.invalid{BEL}click{ESC}]8;;{BEL}",
    "link, 8 bit": f"{OSC}8;;https://example.invalid{ST}click{OSC}8;;{ST}",
    "clipboard": f"{ESC}]52;c;cm0gLXJm{BEL}",
    "palette": f"{ESC}]4;1;#000000{BEL}",
    "notification": f"{ESC}]9;look{BEL}",
    "shell mark": f"{ESC}]133;A{BEL}",
    "inline image": f"{ESC}]1337;File=inline=1:AAAA{BEL}",
    "sixel": f"{ESC}Pq#0{ESC}\\",
    "device control, 8 bit": f"\x90q{ST}",
    "privacy message": f"{ESC}^x{ESC}\\",
    "application command": f"{ESC}_Gf=100;AAAA{ESC}\\",
    "application command, 8 bit": f"\x9fGf{ST}",
    "bell": BEL,
    "backspace": "safe\b\b\b\bevil",
    "carriage return": "safe\revil",
    "line feed": "one\ntwo",
    "vertical tab": "one\x0btwo",
    "form feed": "one\x0ctwo",
    "next line": "one\x85two",
    "delete": "a\x7fb",
    "null": "a\x00b",
    "right-to-left override": "\u202etxt.exe",
    "left-to-right override": "\u202d",
    "embedding": "\u202aabc\u202c",
    "isolate": "\u2066abc\u2069",
    "arabic letter mark": "\u061c",
    "marks": "\u200e\u200f",
    "line separator": "one\u2028two\u2029three",
    "zero width": "pass\u200bword\ufeff",
    "tags": "a\U000e0041\U000e0042",
    "lone surrogate": "\ud800",
    "soft hyphen": "pa\u00adss",
    "enquiry": "\x05",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_sequence_survives(text: str) -> None:
    """Of no hostile text does a sign remain that a terminal obeys or that hides others."""
    shown = clean(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert shorten(text, 500) == shown


def test_what_was_there_is_still_told() -> None:
    """A sequence is shown by its letters, so that nothing is hidden from a person."""
    assert clean("a\x1b[31m\u202e\x9b\ud800\n") == r"a\x1b[31m\u202e\x9b\ud800\n"


def test_languages_pass() -> None:
    """Words of any script pass as they are, with the joiners that Persian and emoji need."""
    for text in ("Grüße, naïve café", "日本語", "שלום", "می\u200cخوری", "👩\u200d💻 ok", r"C:\temp\new"):
        assert clean(text) == text


def test_shorten_cuts_with_dots() -> None:
    """A text longer than the width ends in three dots and is exactly as wide."""
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcdefg..."


@pytest.mark.parametrize(
    "encoding, signs", [("utf-8", UNICODE), ("ascii", ASCII), (None, ASCII), ("x", ASCII)]
)
def test_signs_fit_the_encoding(encoding: str | None, signs: object) -> None:
    """Guides and marks are ASCII where the encoding has no others."""
    assert choose_signs(encoding) is signs


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def colored(screen: Screen) -> bool:
    return "\x1b" in screen.paint.bad("x")


def test_colors_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is color on a terminal only, not on a dumb one, and not where NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colored(open_screen(FakeTerminal()))
    assert not colored(open_screen(io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colored(open_screen(FakeTerminal()))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not open_screen(FakeTerminal()).is_terminal


def test_a_stream_of_any_encoding_takes_any_text() -> None:
    """A sign that the stream's encoding lacks is written as its escape; nothing fails."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    open_screen(stream).say("naïve ✓")
    assert raw.getvalue() == b"na\\xefve \\u2713\n"
