"""The jobs of all plans of a study, as columns: a job of a plan has a row, in the order in which plans were read.

Which rows are current follows from the plans, in the order of their names. It is kept with the rows, so that a command
that has nothing new to read need not find it again.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, ValuesView
from pathlib import Path
from typing import Any, TypeVar

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.kept_columns import Column, KeptColumns, texts_column
from seedfold.orchestrator.ledger.plan_jobs import PlanJobs

Address = tuple[str, str]
"""(stage, axis values as canonical text)."""
Request = tuple[str, ...]
K = TypeVar("K")
_FORM = 1
"""Of what is kept; to be raised when other things are kept, or plans are read in another way."""
_MOST_JOBS = 10_000
"""How many descriptions stay in memory after somebody has asked for them."""


class PlanTable:
    """The rows. ``current`` and ``removed`` have the row of each address, ``named`` the addresses of each request."""

    def __init__(self, study: str) -> None:
        self._study = study
        self.plans: list[PlanJobs] = []
        self.ids: list[str] = []
        self.row_of: dict[str, int] = {}
        """The row of each job in the plan that named it last."""
        self.templates = array("i")
        """Jobs of one number share all but their own values."""
        self._first_rows: list[int] = []
        self._first_templates: list[int] = []
        self._jobs: dict[int, JobDescription] = {}
        self.current = Rows(self)
        self.removed = Rows(self)
        self.named: dict[Request, Rows] = {}

    # --- rows ---------------------------------------------------------------------------------------------------------

    def add(self, plan: PlanJobs) -> None:
        """Add the jobs of a plan."""
        first, first_template = len(self.ids), sum(len(one.template_lines) for one in self.plans)
        self.plans.append(plan)
        self._first_rows.append(first)
        self._first_templates.append(first_template)
        self.ids += plan.ids
        self.row_of.update(zip(plan.ids, range(first, len(self.ids)), strict=True))
        self.templates.extend(array("i", [first_template + number for number in plan.templates]))

    def rows_of(self, plan: PlanJobs) -> range:
        """Return the rows of a plan."""
        first = self._first_rows[self.plans.index(plan)]
        return range(first, first + len(plan.ids))

    def address(self, row: int) -> Address:
        """Return the address of a row."""
        plan, index = self._find(row)
        return plan.stage(plan.templates[index]), plan.axes[index]

    def axis_values(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Return the axis values of some rows, without reading their descriptions."""
        places = list(map(self._find, rows))
        # One array is parsed several times faster than its elements one by one.
        values = json.loads(f"[{','.join([plan.axes[index] for plan, index in places])}]")
        names = [plan.axis_names(index) for plan, index in places]
        return [{name: own[name] for name in ordered} for own, ordered in zip(values, names, strict=True)]

    def job(self, row: int) -> JobDescription:
        """Return the description of a row."""
        job = self._jobs.get(row)
        if job is None:
            if len(self._jobs) >= _MOST_JOBS:
                self._jobs.clear()
            plan, index = self._find(row)
            job = self._jobs[row] = plan.job(index, self._study)
        return job

    def template(self, number: int) -> tuple[PlanJobs, int]:
        """Return the plan of a number of ``templates``, and the number that it has there."""
        place = bisect_right(self._first_templates, number) - 1
        return self.plans[place], number - self._first_templates[place]

    def _find(self, row: int) -> tuple[PlanJobs, int]:
        place = bisect_right(self._first_rows, row) - 1
        return self.plans[place], row - self._first_rows[place]

    # --- which rows are current ---------------------------------------------------------------------------------------

    def clear_merged(self) -> None:
        """Forget which rows are current."""
        self.current, self.removed = Rows(self), Rows(self)
        self.named.clear()

    def merge(self, plan: PlanJobs, request: Request | None) -> None:
        """Have the jobs of a plan take their addresses. ``request`` says which part of the study it is the whole of."""
        rows = self.rows_of(plan)
        for row in rows:
            self.row_of[self.ids[row]] = row
            address = self.address(row)
            self.current.by_address[address] = row
            self.removed.by_address.pop(address, None)
        if request is not None:
            named = Rows(self, rows)
            for address, row in self.rows_to_remove(request, named.by_address):
                del self.current.by_address[address]
                self.removed.by_address[address] = row
            self.named[request] = named

    def rows_to_remove(self, request: Request, named: Collection[Address]) -> list[tuple[Address, int]]:
        """Return the current addresses that a plan of ``request`` removes if it names these addresses."""
        before = self.named.get(request)
        if before is None:
            return []
        known, current = before.by_address, self.current.by_address
        return [(address, row) for address, row in current.items() if address in known and address not in named]

    # --- what is kept -------------------------------------------------------------------------------------------------

    def kept(self) -> tuple[dict[str, Any], dict[str, Column]]:
        """Return all of it, to keep it."""
        plans = [
            [one.path.name, one.mark, one.header_line, one.shared_lines, one.template_lines, len(one.ids)]
            for one in self.plans
        ]
        requests = [[list(request), len(rows.in_order())] for request, rows in self.named.items()]
        columns: dict[str, Column] = {
            "ids": texts_column(self.ids),
            "axes": texts_column([axes for one in self.plans for axes in one.axes]),
            "current": array("i", self.current.in_order()),
            "removed": array("i", self.removed.in_order()),
            "named": array("i", [row for rows in self.named.values() for row in rows.in_order()]),
        }
        for name, typecode in _PLAN_COLUMNS.items():
            columns[name] = array(typecode, [one for plan in self.plans for one in getattr(plan, name)])
        return {"form": _FORM, "plans": plans, "requests": requests}, columns

    @classmethod
    def restore(cls, study: str, folder: Path, kept: KeptColumns) -> PlanTable:
        """Return what was kept. Raises KeyError, TypeError or ValueError if it is of another form."""
        if kept.facts["form"] != _FORM:
            raise ValueError("form")
        table, ids, at = cls(study), kept.texts("ids"), 0
        columns = {name: kept.numbers(name, typecode) for name, typecode in _PLAN_COLUMNS.items()}
        all_axes = LateTexts(kept, "axes")
        for name, mark, header_line, shared_lines, template_lines, count in kept.facts["plans"]:
            end = at + count
            plan = PlanJobs(folder / name, mark, header_line, shared_lines, list(map(tuple, template_lines)))
            plan.ids, plan.axes = ids[at:end], all_axes.part(at, end)
            plan.templates, plan.starts, plan.lengths = (columns[name][at:end] for name in _PLAN_COLUMNS)
            if len(plan.lengths) != count or len(plan.ids) != count:
                raise ValueError("the columns differ in length")
            table.add(plan)
            at = end
        table.current = Rows(table, kept.numbers("current", "i"))
        table.removed = Rows(table, kept.numbers("removed", "i"))
        named, at = kept.numbers("named", "i"), 0
        for request, count in kept.facts["requests"]:
            table.named[tuple(request)] = Rows(table, named[at : at + count])
            at += count
        return table


_PLAN_COLUMNS = {"templates": "i", "starts": "q", "lengths": "i"}


class LateTexts:
    """A column of texts that is parsed when somebody asks for one of them."""

    def __init__(self, kept: KeptColumns, name: str) -> None:
        # Only this column stays in memory, and not all that was kept.
        self._json = bytes(kept.columns[name])
        self._texts: list[str] | None = None

    def all(self) -> list[str]:
        """Return the texts."""
        if self._texts is None:
            self._texts, self._json = list(json.loads(self._json)), b""
        return self._texts

    def part(self, start: int, end: int) -> Sequence[str]:
        """Return some of them."""
        return _Part(self, start, end)


class _Part(Sequence[str]):
    def __init__(self, texts: LateTexts, start: int, end: int) -> None:
        self._texts, self._start, self._end = texts, start, end

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) or not 0 <= index < len(self):
            return self._texts.all()[self._start : self._end][index]
        return self._texts.all()[self._start + index]


class Rows:
    """Rows in their order, and by their addresses once somebody asks for these."""

    def __init__(self, table: PlanTable, rows: Iterable[int] = ()) -> None:
        self._table = table
        self._rows: Sequence[int] = list(rows)
        self._by_address: dict[Address, int] | None = None

    @property
    def by_address(self) -> dict[Address, int]:
        """The row of each address; whoever changes it changes the rows."""
        if self._by_address is None:
            self._by_address = {self._table.address(row): row for row in self._rows}
        return self._by_address

    def in_order(self) -> list[int]:
        """Return the rows."""
        return list(self._rows if self._by_address is None else self._by_address.values())


class JobsOf(Mapping[K, JobDescription]):
    """Descriptions by a key, each read when somebody asks for it."""

    def __init__(self, table: PlanTable, rows: Mapping[K, int]) -> None:
        self._table, self._rows = table, rows

    def __getitem__(self, key: K) -> JobDescription:
        return self._table.job(self._rows[key])

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows


class JobsAt(Mapping[Address, JobDescription]):
    """Descriptions by address. Who only asks for the descriptions does not have to wait for the addresses."""

    def __init__(self, table: PlanTable, *parts: Rows) -> None:
        self._table, self._parts = table, parts

    def in_order(self) -> list[int]:
        """Return the rows of the jobs."""
        return [row for part in self._parts for row in part.in_order()]

    def __getitem__(self, key: Address) -> JobDescription:
        for part in self._parts:
            if key in part.by_address:
                return self._table.job(part.by_address[key])
        raise KeyError(key)

    def __iter__(self) -> Iterator[Address]:
        for part in self._parts:
            yield from part.by_address

    def __len__(self) -> int:
        return len(self.in_order())

    def __contains__(self, key: object) -> bool:
        return any(key in part.by_address for part in self._parts)

    def without_place(self, jobs: Iterable[JobDescription]) -> list[JobDescription]:
        """Return those of the jobs at whose address there is another job, or none.

        The rows of jobs that were planned as they are now say that of them; only for others all addresses are needed.
        """
        rows, row_of, address = set(self.in_order()), self._table.row_of, self._table.address
        doubtful = [job for job in jobs if (row := row_of.get(job.id)) not in rows or address(row) != job.address]
        return [job for job in doubtful if job.address not in self or self[job.address].id != job.id]

    def values(self) -> ValuesView[JobDescription]:
        """Return the descriptions, in the order of the addresses."""
        return _Jobs(self, self._table)


class _Jobs(ValuesView[JobDescription]):
    def __init__(self, jobs: JobsAt, table: PlanTable) -> None:
        super().__init__(jobs)
        self._jobs, self._table = jobs, table

    def __iter__(self) -> Iterator[JobDescription]:
        return map(self._table.job, self._jobs.in_order())
