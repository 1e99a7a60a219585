"""What the events say of the jobs of a study, as columns: a hundred thousand jobs take as much memory as one picture.

A job has a row. The row says how far its latest attempt came, and where the lines of all its events are: an event is
read again when somebody asks for it. Of a result it has what is compared with the store, and what decides whether it is
stale. It does not matter in which order events are added.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.kept_columns import Column, KeptColumns, texts_column

EVENT_RANK = {"started": 0, "interrupted": 1, "paused": 2, "blocked": 3, "failed": 4, "done": 5}
"""The state of an attempt never goes backwards: in whatever order events are read, the highest rank counts."""
DONE, STARTED = EVENT_RANK["done"], EVENT_RANK["started"]
NOBODY = 0
"""The row of a job that has none."""
_NONE = -1
_ROWS = {"attempts": "q", "ranks": "b", "times": "d", "seconds": "d", "kinds": "i", "sizes_at": "i", "decisive": "i"}
_ROWS |= {"last_link": "i", "was_cancelled": "b"}
_LINKS = {"link_file": "i", "link_start": "q", "link_length": "i", "link_before": "i"}
_OTHERS = {"sizes": "q"}
_COLUMNS = _ROWS | _LINKS | _OTHERS


class ResultKind(tuple[str, str, tuple[str, ...], tuple[str, ...]]):
    """What results have in common: the code, what they read, the names of their files, and of metrics that are nan."""

    __slots__ = ()


class JobTable:
    """The columns. ``kinds`` is the number of a `ResultKind`, or -1 if a result has parents or is not done."""

    attempts: array[int]
    ranks: array[int]
    times: array[float]
    seconds: array[float]
    kinds: array[int]
    sizes_at: array[int]
    decisive: array[int]
    last_link: array[int]
    was_cancelled: array[int]
    link_file: array[int]
    link_start: array[int]
    link_length: array[int]
    link_before: array[int]
    sizes: array[int]

    def __init__(self) -> None:
        self.ids = [""]
        self.row_of: dict[str, int] = {}
        self.result_kinds: list[ResultKind] = []
        self._kind_numbers: dict[ResultKind, int] = {}
        for name, typecode in _COLUMNS.items():
            setattr(self, name, array(typecode))
        self._add_row()

    @classmethod
    def restore(cls, kept: KeptColumns) -> JobTable:
        """Return a table that was kept. Raises ValueError or KeyError if it is none."""
        table = cls()
        for name, typecode in _COLUMNS.items():
            setattr(table, name, kept.numbers(name, typecode))
        table.ids = kept.texts("ids")
        if any(len(getattr(table, name)) != len(table.ids) for name in _ROWS):
            raise ValueError("the columns differ in length")
        table.row_of = {job: row for row, job in enumerate(table.ids) if row != NOBODY}
        for kind in kept.facts["kinds"]:
            table._number_of(ResultKind((kind[0], kind[1], tuple(kind[2]), tuple(kind[3]))))
        return table

    def columns(self) -> dict[str, Column]:
        """Return the columns, to keep them."""
        return {"ids": texts_column(self.ids), **{name: getattr(self, name) for name in _COLUMNS}}

    def kinds_json(self) -> list[Any]:
        """Return the kinds of results, to keep them."""
        return list(self.result_kinds)

    def _add_row(self) -> None:
        for column in (self.attempts, self.ranks, self.kinds, self.sizes_at, self.decisive, self.last_link):
            column.append(_NONE)
        for times in (self.times, self.seconds):
            times.append(0.0)
        self.was_cancelled.append(0)

    def row(self, job: str) -> int:
        """Return the row of a job; `NOBODY` if there is no event of it."""
        return self.row_of.get(job, NOBODY)

    def add(self, job: str, event: Event, attempt: int, file: int, start: int, length: int) -> int:
        """Add an event of a job and return the row of the job."""
        row = self.row_of.get(job)
        if row is None:
            row = self.row_of[job] = len(self.ids)
            self.ids.append(job)
            self._add_row()
        link = len(self.link_file)
        self.link_file.append(file)
        self.link_start.append(start)
        self.link_length.append(length)
        self.link_before.append(self.last_link[row])
        self.last_link[row] = link
        rank = EVENT_RANK.get(event["e"])
        if rank is None:
            self.was_cancelled[row] |= event["e"] == "cancelled"
        elif (attempt, rank, -event["t"]) > (self.attempts[row], self.ranks[row], -self.times[row]):
            self._decide(row, event, attempt, rank, link)
        return row

    def _decide(self, row: int, event: Event, attempt: int, rank: int, link: int) -> None:
        """Have an event decide the state of the latest attempt."""
        self.attempts[row], self.ranks[row], self.times[row], self.decisive[row] = attempt, rank, event["t"], link
        self.seconds[row] = event["seconds"] if rank == DONE else 0.0
        self.kinds[row] = _NONE if rank != DONE else self._add_result(row, event)

    def _add_result(self, row: int, event: Event) -> int:
        """Note what the store should have of a result; return the number of its kind."""
        result, files, reads, nan = event.get("result"), event["files"], event["reads"], event.get("nan", ())
        if event["parents"] or type(result) is not dict or type(event["code"]) is not str or not _is_texts(nan):
            return _NONE
        records = (result, *files.values())
        numbers = [record.get(key) for record in records for key in ("bytes", "mtime_ns")]
        if not all(type(number) is int and -(1 << 63) <= number < 1 << 63 for number in numbers):
            return _NONE
        self.sizes_at[row] = len(self.sizes)
        self.sizes.extend(numbers)
        return self._number_of(ResultKind((event["code"], repr(reads), tuple(files), tuple(nan))))

    def _number_of(self, kind: ResultKind) -> int:
        number = self._kind_numbers.get(kind)
        if number is None:
            number = self._kind_numbers[kind] = len(self.result_kinds)
            self.result_kinds.append(kind)
        return number

    @staticmethod
    def key_of(event: Event) -> tuple[int, int, float]:
        """Return attempt, rank and time of an event; the rank of one that is of no attempt is -1."""
        return event["n"], EVENT_RANK.get(event["e"], _NONE), float(event["t"])

    def links(self, row: int) -> list[int]:
        """Return the places of all events of a job, in the order in which they were read."""
        found, link = list[int](), self.last_link[row]
        while link != _NONE:
            found.append(link)
            link = self.link_before[link]
        return found[::-1]

    def place(self, link: int) -> tuple[int, int, int]:
        """Return where an event is: the number of the file, the first byte, and the number of bytes."""
        return self.link_file[link], self.link_start[link], self.link_length[link]

    def expected_files(self, row: int) -> Iterator[tuple[str, int, int]]:
        """Yield the name, size and time of change of each file of a result that has a kind; first its record."""
        names, at = ("result.json", *self.result_kinds[self.kinds[row]][2]), self.sizes_at[row]
        for name in names:
            yield name, self.sizes[at], self.sizes[at + 1]
            at += 2

    def rows_with(self, jobs: Iterable[str]) -> list[int]:
        """Return the rows of jobs, `NOBODY` for those without events."""
        get = self.row_of.get
        return [get(job, NOBODY) for job in jobs]


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
