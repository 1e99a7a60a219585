"""Reads the lists that `bjobs` prints, as JSON and as a table for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from seedfold.jobs.times_text import parse_scheduler_time
from seedfold.orchestrator.schedulers.answer_numbers import is_whole

_ROW_START = re.compile(
    r"(?P<id>[0-9]{1,18})(?:\[(?P<index>[0-9]{1,18})\])?\s+(?P<user>\S+)\s+(?P<word>[A-Z]{3,8})\s+(?P<queue>\S+)\s+(?P<rest>.+)"
)
_TIME = r"(?P<time>[A-Z][a-z]{2}\s+\d{1,2}\s+\d{1,2}:\d{2}(?::\d{2})?(?:\s+\d{4})?)\s*"
# The name may contain blanks. A pending job has a dash, or nothing, in place of hosts.
_PENDING_REST = re.compile(r"(?P<source>\S+)\s+(?:(?P<hosts>-)\s+)?(?P<name>\S.*?)\s+" + _TIME)
_STARTED_REST = re.compile(r"(?P<source>\S+)\s+(?:(?P<hosts>\S+)\s+)?(?P<name>\S.*?)\s+" + _TIME)
_ELEMENT_NAME = re.compile(r"(?P<name>.*)\[(?P<index>[0-9]{1,18})\]")
_ELEMENT_REST = re.compile(r"(?P<source>\S+)\s+(?:(?P<hosts>\S+)\s+)?(?P<name>\S+\[\d+\])\s+" + _TIME)
_NO_ROW = re.compile(r"\s*$|\s*JOBID\b|.*\bno (\w+ )*job(s|\(s\))? found|.*is not found", re.IGNORECASE)
_MARK_OF_TIME = re.compile(r"\s+[A-Z]$")
_PENDING = {"PEND", "PSUSP", "WAIT", "PROV"}
_ENDED = {"DONE", "EXIT"}
STATES = _PENDING | _ENDED | {"RUN", "USUSP", "SSUSP", "UNKWN", "ZOMBI", "ZOMBIE"}


@dataclass(frozen=True, slots=True)
class BjobsRow:
    """One job, or one element of an array, as LSF lists it. ``index`` is 0 for a job that is not an array.

    A ``name`` that begins with ``*`` is the end of a longer name. ``host`` is empty before the start; ``exit_text`` is
    the exit reason, if the list has one.
    """

    id: str
    index: int
    state: str
    name: str
    host: str = ""
    exit_text: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether the job waits for its start."""
        return self.state in _PENDING

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended, as far as LSF knows. An unknown state does not count as ended."""
        return self.state in _ENDED

    def has_name(self, name: str, job_number: str | None = None) -> bool:
        """Whether this is the job's name, complete or cut at the front.

        If the job has the expected ``number``, cut anywhere.
        """
        if self.name == name or len(self.name) <= _SHORTEST_PART:
            return self.name == name
        if self.name.startswith("*"):
            return name.endswith(self.name[1:])
        return self.id == job_number and name.startswith(self.name)


_SHORTEST_PART = 8
"""A part of a name with more characters than this identifies the name."""


def parse_table(text: str) -> tuple[list[BjobsRow], list[str]]:
    """Read the output of ``bjobs -w``; return its jobs, and the lines that cannot be read."""
    rows, unreadable = [], []
    for line in text.splitlines():
        row = _parse_row(line)
        if row is not None:
            rows.append(row)
        elif not _NO_ROW.match(line):
            unreadable.append(line.strip())
    return rows, unreadable


def parse_pending_reasons(text: str) -> dict[tuple[str, int], str]:
    """Read the output of ``bjobs -p -w``; return, by number and index, the first reason why each job waits."""
    reasons: dict[tuple[str, int], str] = {}
    current: tuple[str, int] | None = None
    for line in text.splitlines():
        row = _parse_row(line)
        if row is not None:
            current = (row.id, row.index)
        elif current is not None and not _NO_ROW.match(line):
            reasons.setdefault(current, line.strip())
    return reasons


def _parse_row(line: str) -> BjobsRow | None:
    head = _ROW_START.fullmatch(line.strip())
    if head is None or head["word"] not in STATES:
        return None
    # Names of arrays contain no blanks here, so that a word before the name is the host.
    other = _PENDING_REST if head["word"] in _PENDING else _STARTED_REST
    rest = _ELEMENT_REST.fullmatch(head["rest"]) or other.fullmatch(head["rest"])
    if rest is None:
        return None
    name, index = _split_index(rest["name"])
    return BjobsRow(head["id"], int(head["index"] or index), head["word"], name, parse_first_host(rest["hosts"] or ""))


def _split_index(name: str) -> tuple[str, int]:
    """Split the name of an array's element into name and index."""
    match = _ELEMENT_NAME.fullmatch(name)
    return (match["name"], int(match["index"])) if match else (name, 0)


def parse_first_host(hosts: str) -> str:
    """The first of several hosts, such as ``4*n1:n2``; empty for the dash of a job without a host."""
    host = re.split(r"[:\s]", hosts.strip())[0].rpartition("*")[2]
    return "" if host == "-" else host


def parse_json(text: str) -> tuple[list[BjobsRow], list[str]]:
    """Read the output of ``bjobs -json``; return its jobs, and the parts that cannot be read."""
    start = text.find("{")
    if start < 0:
        return [], [line for line in text.splitlines() if not _NO_ROW.match(line)]
    try:
        # There may be other lines before and after it.
        document, _ = json.JSONDecoder().raw_decode(text[start:])
        records = document["RECORDS"]
        return [_row_from_record(record) for record in records if "ERROR" not in record], []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], [text.strip()[:80]]


def parse_expected_starts(text: str, field: str, now: datetime) -> dict[tuple[str, int], str]:
    """Read a list of expected starts; return them as SLURM writes a time, by number and index of the job.

    A job for which LSF says no time is left out, and so are all if the text is no such list.
    """
    starts: dict[tuple[str, int], str] = {}
    for record in _records(text):
        number, index = str(record.get("JOBID", "")).partition("[")[0], str(record.get("JOBINDEX") or "0")
        # The simulation marks its times with a letter.
        moment = parse_scheduler_time(_MARK_OF_TIME.sub("", str(record.get(field.upper()) or "")), now)
        if moment is not None and is_whole(number) and is_whole(index):
            starts[number, int(index)] = moment.isoformat(timespec="seconds")
    return starts


def _records(text: str) -> list[Mapping[str, Any]]:
    try:
        document, _ = json.JSONDecoder().raw_decode(text[max(0, text.find("{")) :])
        return [record for record in document["RECORDS"] if isinstance(record, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _row_from_record(record: Mapping[str, Any]) -> BjobsRow:
    name, index = _split_index(str(record.get("JOB_NAME", "")))
    index_text = str(record.get("JOBINDEX") or "")
    state, number = str(record["STAT"]), str(record["JOBID"]).partition("[")[0]
    if not is_whole(number) or not state:
        raise ValueError(record)
    exit_text = f"Exited with exit code {code}. " if is_whole(code := str(record.get("EXIT_CODE") or "")) else ""
    reason = str(record.get("EXIT_REASON") or "")
    host = parse_first_host(str(record.get("EXEC_HOST") or ""))
    return BjobsRow(
        number, int(index_text) if is_whole(index_text) else index, state, name, host, f"{exit_text}{reason}".strip()
    )
