"""Nothing that comes from data controls the terminal."""

from __future__ import annotations

import json
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedfold.jobs.terminal_text import terminal_json, terminal_log, terminal_text

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
TITLE = "\x1b]0;owned\x07"
CLIPBOARD = "\x1b]52;c;ZWNobyBoaQ==\x1b\\"
DCS = "\x1bP$q q\x1b\\"

SHOWN = {
    "plain text, äöü 漢字 🙂\tand\nlines": "plain text, äöü 漢字 🙂\tand\nlines",
    f"a{TITLE}b": "ab",
    f"a{CLIPBOARD}b": "ab",
    f"a{DCS}b": "ab",
    "a\x1b[31;1mred\x1b[0mb": "aredb",
    "a\x1b[2J\x1b[Hb": "ab",
    "a\x9b2Jb": "ab",
    "a\x9d0;owned\x9cb": "ab",
    "a\x1b(0b": "ab",
    "a\x1bcb": "a\\x1bcb",
    "bell\x07, back\x08, over\rwritten": "bell\\x07, back\\x08, over\\rwritten",
    "\x0b\x0c\x00\x7f\x85": "\\x0b\\x0c\\x00\\x7f\\x85",
    # What has no end stays visible: nothing behind it is hidden.
    "a\x1b]0;no end": "a\\x1b]0;no end",
    "a\x1b]0;\nb\x07": "a\\x1b]0;\nb\\x07",
    "a\x1b[999999": "a\\x1b[999999",
    f"exe{BIDI}txt": "exe" + "".join(ascii(mark)[1:-1] for mark in BIDI) + "txt",
    # A sequence that would be put together by what is taken away.
    "\x1b\x1b[0m]0;owned\x07": "\\x1b]0;owned\\x07",
}
nasty = st.text(
    st.one_of(st.sampled_from("\x1b\x9b\x9d\x90\x07\x9c\\[]PX^_;0m\r\n\t \u202e"), st.characters(codec="utf-8")),
)


@pytest.mark.parametrize("text", SHOWN, ids=ascii)
def test_control_characters_are_taken_out_or_written_in_words(text: str) -> None:
    assert terminal_text(text) == SHOWN[text]


def controls(text: str) -> set[str]:
    return {mark for mark in text if unicodedata.category(mark) == "Cc" or mark in BIDI} - {"\n", "\t"}


@given(nasty)
@example(TITLE[:4] + TITLE)
def test_none_is_left(text: str) -> None:
    assert controls(terminal_text(text)) == set()


@given(nasty, st.lists(st.integers(0, 60), max_size=5))
def test_a_log_in_pieces_is_as_the_whole_log(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert "".join(terminal_log(pieces)) == terminal_text(text.replace("\r\n", "\n").replace("\r", "\n"))


def test_bytes_that_are_no_text_are_shown_in_a_log() -> None:
    assert "".join(terminal_log([b"\xff\xfe ok \xe4", b"\n"])) == "\\xff\\xfe ok \\xe4\n"


def test_a_line_of_a_log_without_an_end_is_shown_at_once() -> None:
    shown = terminal_log(iter([b"epoch 1", b" done\n"]))
    assert next(shown) == "epoch 1"


@pytest.mark.slow
@given(st.recursive(st.none() | nasty, lambda inner: st.lists(inner) | st.dictionaries(nasty, inner)))
def test_json_keeps_its_value(value: object) -> None:
    text = terminal_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert controls(text) == set()
    assert json.loads(text) == value
