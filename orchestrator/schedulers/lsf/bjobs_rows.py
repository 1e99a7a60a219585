"""The sense of what `bjobs` prints in lists: as JSON, and as a table for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HEAD = re.compile(
    r"(?P<id>\d+)(?:\[(?P<index>\d+)\])?\s+(?P<user>\S+)\s+(?P<word>[A-Z]{3,8})\s+(?P<queue>\S+)\s+(?P<rest>.+)"
)
_TIME = r"(?P<time>[A-Z][a-z]{2}\s+\d{1,2}\s+\d{1,2}:\d{2}(?::\d{2})?(?:\s+\d{4})?)\s*"
# The name may hold blanks. A pending job has a dash, or nothing, in place of hosts.
_WAITS = re.compile(r"(?P<source>\S+)\s+(?:(?P<hosts>-)\s+)?(?P<name>\S.*?)\s+" + _TIME)
_REST = re.compile(r"(?P<source>\S+)\s+(?:(?P<hosts>\S+)\s+)?(?P<name>\S.*?)\s+" + _TIME)
_ELEMENT = re.compile(r"(?P<name>.*)\[(?P<index>\d+)\]")
_ELEMENT_ALONE = re.compile(r"(?P<source>\S+)\s+(?:(?P<hosts>\S+)\s+)?(?P<name>\S+\[\d+\])\s+" + _TIME)
_NO_ROW = re.compile(r"\s*$|\s*JOBID\b|.*\bno (\w+ )*job(s|\(s\))? found|.*is not found", re.IGNORECASE)
_PENDING = {"PEND", "PSUSP", "WAIT", "PROV"}
_ENDED = {"DONE", "EXIT"}
WORDS = _PENDING | _ENDED | {"RUN", "USUSP", "SSUSP", "UNKWN", "ZOMBI", "ZOMBIE"}


@dataclass(frozen=True, slots=True)
class Row:
    """One job, or one element of an array, as LSF lists it. ``index`` is 0 for a job that is no array.

    A ``name`` that begins with ``*`` is the end of a longer one. ``host`` is empty before the start; ``end`` is what
    is said of the end, where the list says it.
    """

    id: str
    index: int
    word: str
    name: str
    host: str = ""
    end: str = ""

    @property
    def pending(self) -> bool:
        """Whether it waits for its start."""
        return self.word in _PENDING

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as LSF knows. A word that nobody has heard of is no end."""
        return self.word in _ENDED

    def is_called(self, name: str, number: str | None = None) -> bool:
        """Whether this is its name, whole or cut at the front; with the ``number`` that is expected, cut anywhere."""
        if self.name == name or len(self.name) <= _LEAST:
            return self.name == name
        if self.name.startswith("*"):
            return name.endswith(self.name[1:])
        return self.id == number and name.startswith(self.name)


_LEAST = 8
"""With more characters than this, a part of a name tells it from others."""


def read_table(text: str) -> tuple[list[Row], list[str]]:
    """Read what ``bjobs -w`` prints; return its jobs, and the lines that make no sense."""
    rows, strange = [], []
    for line in text.splitlines():
        row = _row(line)
        if row is not None:
            rows.append(row)
        elif not _NO_ROW.match(line):
            strange.append(line.strip())
    return rows, strange


def read_reasons(text: str) -> dict[tuple[str, int], str]:
    """Read what ``bjobs -p -w`` prints: for each job, by number and index, the first reason for which it waits."""
    found: dict[tuple[str, int], str] = {}
    current: tuple[str, int] | None = None
    for line in text.splitlines():
        row = _row(line)
        if row is not None:
            current = (row.id, row.index)
        elif current is not None and not _NO_ROW.match(line):
            found.setdefault(current, line.strip())
    return found


def _row(line: str) -> Row | None:
    head = _HEAD.fullmatch(line.strip())
    if head is None or head["word"] not in WORDS:
        return None
    # Names of arrays hold no blanks here, so that what stands before is the host, if anything does.
    other = _WAITS if head["word"] in _PENDING else _REST
    rest = _ELEMENT_ALONE.fullmatch(head["rest"]) or other.fullmatch(head["rest"])
    if rest is None:
        return None
    name, index = _split(rest["name"])
    return Row(head["id"], int(head["index"] or index), head["word"], name, first_host(rest["hosts"] or ""))


def _split(name: str) -> tuple[str, int]:
    """Take the index off the name of an array's element."""
    match = _ELEMENT.fullmatch(name)
    return (match["name"], int(match["index"])) if match else (name, 0)


def first_host(hosts: str) -> str:
    """The first of several hosts, such as ``4*n1:n2``; empty for the dash of a job that has none."""
    host = re.split(r"[:\s]", hosts.strip())[0].rpartition("*")[2]
    return "" if host == "-" else host


def read_json(text: str) -> tuple[list[Row], list[str]]:
    """Read what ``bjobs -json`` prints; return its jobs, and what makes no sense."""
    start = text.find("{")
    if start < 0:
        return [], [line for line in text.splitlines() if not _NO_ROW.match(line)]
    try:
        # Other lines may stand around it.
        whole, _ = json.JSONDecoder().raw_decode(text[start:])
        records = whole["RECORDS"]
        return [_record(record) for record in records if "ERROR" not in record], []
    except (ValueError, KeyError, TypeError, AttributeError):
        return [], [text.strip()[:80]]


def _record(record: Mapping[str, Any]) -> Row:
    name, index = _split(str(record.get("JOB_NAME", "")))
    given = str(record.get("JOBINDEX") or "")
    word, number = str(record["STAT"]), str(record["JOBID"]).partition("[")[0]
    if not number.isdigit() or not word:
        raise ValueError(record)
    end = f"Exited with exit code {code}. " if (code := str(record.get("EXIT_CODE") or "")).isdigit() else ""
    reason = str(record.get("EXIT_REASON") or "")
    host = first_host(str(record.get("EXEC_HOST") or ""))
    return Row(number, int(given) if given.isdigit() else index, word, name, host, f"{end}{reason}".strip())
