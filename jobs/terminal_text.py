"""Texts that came from data, made harmless for a terminal.

A terminal obeys control characters: they can rename its window, write to the clipboard, or overwrite what was printed
before. Characters that turn the direction of writing make a text look like another one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TEXT = "[^\x00-\x1f\x7f-\x9f]*"
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, moves of the cursor
    f"|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f]){_TEXT}(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]+[0-~]"  # such as the choice of a character set
)
"""Control sequences of ECMA-48 that are complete."""
_UNFINISHED = re.compile("(?:[\x1b\x90\x98\x9b\x9d-\x9f][^\n]*|\r)\\Z")
"""The end of a text that may be the first part of a sequence, or of a line end."""
_LONGEST_SEQUENCE = 4096


def terminal_text(text: str) -> str:
    r"""Return ``text`` without control sequences, and with other control characters as escapes such as ``\x07``.

    Line ends and tabs stay.
    """
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(_escape, _SEQUENCE.sub("", text))


def terminal_log(chunks: Iterable[bytes]) -> Iterator[str]:
    """Return a log that is read in chunks as `terminal_text` does, with each line that overwrites another below it."""
    decoder, rest = codecs.getincrementaldecoder("utf-8")("backslashreplace"), ""
    for chunk in chunks:
        text = rest + decoder.decode(chunk)
        cut = _UNFINISHED.search(text, max(0, len(text) - _LONGEST_SEQUENCE))
        text, rest = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
        yield _log_text(text)
    yield _log_text(rest + decoder.decode(b"", final=True))


def _log_text(text: str) -> str:
    return terminal_text(text.replace("\r\n", "\n").replace("\r", "\n"))


def terminal_json(text: str) -> str:
    r"""Return a JSON text of the same value in which such characters are JSON's own escapes, as ``\u001b``."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
