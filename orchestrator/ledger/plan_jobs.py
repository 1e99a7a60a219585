"""The jobs of one plan: their ids and addresses, and where in the file each description is.

A description is put together when somebody asks for it: a plan of a hundred thousand jobs has few of them in memory.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from seedfold.jobs.canonical_json import canonical_flat
from seedfold.jobs.description import JobDescription
from seedfold.jobs.description_lines import DescriptionReader, decode_lines
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.moved_modules import current_name
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file
from seedfold.orchestrator.ledger.plan_names import named
from seedfold.results.store.passing_errors import try_again

END = '["end"]'
REMEDY = "move it out of the folder and launch the study again; jobs that are done stay done"


@dataclass
class PlanJobs:
    """The jobs of one plan, in the order of the file.

    ``templates`` are numbers of ``template_lines``: the numbers of head and layout that jobs have in common, and
    whether they have parents.
    """

    path: Path
    mark: list[int]
    header_line: str
    shared_lines: list[str] = field(default_factory=list)
    template_lines: list[tuple[int, int, bool]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    axes: Sequence[str] = ()
    """The axis values of the jobs, as their addresses have them."""
    templates: array[int] = field(default_factory=lambda: array("i"))
    starts: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("i"))
    _handle: int | None = None

    @classmethod
    def read(cls, path: Path) -> PlanJobs:
        """Read a plan from its beginning to its end. Raises DamagedFileError if any description is damaged."""
        with naming_damaged_file(path, REMEDY):
            return try_again(lambda: cls._read(path), path)

    @classmethod
    def _read(cls, path: Path) -> PlanJobs:
        with path.open("rb") as file:
            mark = file_mark(os.fstat(file.fileno()))
            first = file.readline()
            plan = cls(path, mark, first.decode())
            places = _Places(len(first))
            lines: Iterator[str] = map(places.add, file)
            if json.loads(first).get("has_end"):
                lines = _lines_before_end(lines)
            plan._add_lines(lines, places)
        return plan

    def _add_lines(self, lines: Iterable[str], places: _Places) -> None:
        numbers: dict[tuple[int, int, bool], int] = {}
        raw: dict[int, str] = {}
        axes: list[str] = []

        def in_own_names() -> Iterator[str]:
            for number, line in enumerate(lines):
                if not line.startswith('["job",'):
                    raw[number] = line
                yield named(line, current_name)

        for number, content, job in decode_lines(in_own_names()):
            if job is None:
                self.shared_lines.append(raw[number])
                continue
            template = numbers.setdefault((content[1], content[2], bool(job.parents)), len(numbers))
            self.ids.append(job.id)
            axes.append(canonical_flat(job.axes))
            self.templates.append(template)
            self.starts.append(places.starts[number])
            self.lengths.append(places.lengths[number])
        self.template_lines, self.axes = list(numbers), axes

    @cached_property
    def reader(self) -> DescriptionReader:
        """What the jobs share."""
        with naming_damaged_file(self.path, REMEDY):
            reader = DescriptionReader()
            reader.ids = list(dict.fromkeys(self.ids))
            reader.known_ids = set(reader.ids)
            for line in self.shared_lines:
                reader.read_line(json.loads(named(line, current_name)))
            return reader

    def stage(self, template: int) -> str:
        """The stage of the jobs of a template."""
        return self.reader.heads[self.template_lines[template][0]][1]

    def are_all_of(self, run: str) -> bool:
        """Whether all jobs call one function."""
        return all(self.reader.heads[head][2] == run for head, _, _ in self.template_lines)

    def has_parents(self, template: int) -> bool:
        """Whether the jobs of a template have parents."""
        return self.template_lines[template][2]

    def has_own(self, template: int, key: str) -> bool:
        """Whether jobs of a template differ in a key at the top of their configuration, or in what is below it."""
        layout = self.reader.layouts[self.template_lines[template][1]][0]
        return any(path[0] == key for path in _paths(layout.groups))

    def axis_names(self, index: int) -> list[str]:
        """Return the axes of a job, in the order in which its description has them."""
        return self.reader.heads[self.template_lines[self.templates[index]][0]][3]

    def job(self, index: int, study: str) -> JobDescription:
        """Return one description. Raises DamagedFileError if the file is another one now."""
        line = self._line(index)
        with naming_damaged_file(self.path, REMEDY):
            kind, *content = json.loads(named(line, current_name))
            job = self.reader.make_job(*content)
            if kind != "job" or job.id != self.ids[index]:
                raise ValueError("it was changed while it was read")
        # A study that was renamed has its earlier name in its files.
        return job if job.study == study else replace(job, study=study)

    def _line(self, index: int) -> str:
        try:
            return try_again(lambda: self._read_line(index), self.path).decode()
        except FileNotFoundError:
            raise DamagedFileError(f"{self.path}: was removed while it was read; run the command again") from None

    def _read_line(self, index: int) -> bytes:
        if self._handle is None:
            self._handle = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(self._handle, self.lengths[index], self.starts[index])
        except OSError:
            # A handle may be stale for good.
            self.close()
            raise

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)

    def __del__(self) -> None:
        self.close()


@dataclass
class _Places:
    """Where the lines of a file are."""

    next: int
    starts: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("i"))

    def add(self, line: bytes) -> str:
        self.starts.append(self.next)
        self.lengths.append(len(line))
        self.next += len(line)
        return line.decode()


def file_mark(status: os.stat_result) -> list[int]:
    """Return what is another when a file is: its number, its size, and when it was changed last."""
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _paths(groups: Iterable[Iterable[KeyPath]]) -> Iterator[KeyPath]:
    for group in groups:
        yield from group


def _lines_before_end(lines: Iterable[str]) -> Iterator[str]:
    """All lines but the last. Raises ValueError if the last one does not say that it is the last."""
    for line in lines:
        if line.rstrip() == END:
            return
        yield line
    raise ValueError("its end is missing")
