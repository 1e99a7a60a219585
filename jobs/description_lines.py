"""Descriptions of jobs as compact JSON lines: parts that jobs share are written once.

Each line is a JSON array that starts with its kind. ``base`` is a configuration, ``layout`` says where in a base values
go, ``head`` holds what the jobs of a stage share, ``parents`` a tuple of parents (numbers of earlier jobs in the file,
or ids of jobs elsewhere), ``own`` a group of values; each kind is numbered in the order written. ``job`` names them:
``["job", head, layout, parents, id, fit, axis values, groups of values]``.

Reading takes microseconds per job, because a configuration is put together only when somebody looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.resources import Resources
from seedfold.jobs.shared_config import Layout, SharedConfig, ValueGroups

MAX_INLINE_LENGTH = 16
"""Groups of values with a longer text are written once and referred to."""

BATCH_LINES = 1000
"""Lines that are parsed together."""

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_jobs(jobs: Iterable[JobDescription]) -> Iterator[str]:
    """Yield the lines, without line ends, that `decode_jobs` turns back into equal descriptions."""
    writer = _Writer()
    for job in jobs:
        writer.add_job(job)
        yield from writer.pop_lines()


@dataclass
class _Writer:
    """What has been written so far, by number, and the lines that have not been returned yet."""

    lines: list[str] = field(default_factory=list)
    line_numbers: dict[str, dict[Any, int]] = field(default_factory=dict)
    job_numbers: dict[str, int] = field(default_factory=dict)
    bases: dict[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    group_texts: dict[int, str] = field(default_factory=dict)
    layout_numbers: dict[tuple[int, int], int] = field(default_factory=dict)
    head_numbers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    kept_alive: list[Any] = field(default_factory=list)

    def pop_lines(self) -> list[str]:
        """Return the lines written since the last call."""
        lines, self.lines = self.lines, []
        return lines

    def line_number(self, kind: str, *content: Any) -> int:
        """Return the number of a line, which is written if it has not been."""
        text = _to_json([kind, *content])
        known = self.line_numbers.setdefault(kind, {})
        if text not in known:
            known[text] = len(known)
            self.lines.append(text)
        return known[text]

    def add_job(self, job: JobDescription) -> None:
        """Write a job and what it refers to."""
        layout, values = self.layout_and_values(job)
        head = self.head_number(job)
        groups = ",".join([self.group_text(group) for group in values])
        fit = "0" if job.fit == job.id else _to_json(job.fit)
        axes = _to_json(list(job.axes.values()))
        parents = self.parents_number(job.parents)
        self.lines.append(f'["job",{head},{layout},{parents},{_to_json(job.id)},{fit},{axes},[{groups}]]')
        self.job_numbers.setdefault(job.id, len(self.job_numbers))

    def head_number(self, job: JobDescription) -> int:
        """Return the number of what a job shares with others of its stage."""
        axes = tuple(job.axes)
        key = (job.study, job.stage, job.run, axes, id(job.resources))
        if key not in self.head_numbers:
            self.head_numbers[key] = self.line_number("head", *key[:3], list(axes), job.resources.to_dict())
            self.kept_alive.append(job.resources)
        return self.head_numbers[key]

    def layout_and_values(self, job: JobDescription) -> tuple[int, ValueGroups]:
        """Return the number of the layout of a job's configuration, and its values."""
        if isinstance(job.config, SharedConfig):
            return self.layout_number(job.config.layout, job.texts), job.config.own_values
        key = (job.study, job.stage, job.run)
        base = self.bases.get(key)
        if base is None or not set(base) <= set(job.config):
            base = self.bases[key] = dict(job.config)
        changed = dict(_changes(base, job.config, ()))
        base_number = self.line_number("base", base)
        groups = [[list(path)] for path in changed]
        return self.line_number("layout", base_number, groups, dict(job.texts)), tuple(
            (value,) for value in changed.values()
        )

    def layout_number(self, layout: Layout, texts: Mapping[str, str]) -> int:
        """Return the number of a layout that many jobs share."""
        key = (id(layout), id(texts))
        if key not in self.layout_numbers:
            base = self.line_number("base", layout.base)
            groups = [[list(path) for path in group] for group in layout.groups]
            self.layout_numbers[key] = self.line_number("layout", base, groups, dict(texts))
            self.kept_alive.append((layout, texts))
        return self.layout_numbers[key]

    def group_text(self, values: tuple[Any, ...]) -> str:
        """Return the text of a group of values, or the number it was written under."""
        known = self.group_texts.get(id(values))
        if known is None:
            text = _to_json(list(values))
            known = text if len(text) <= MAX_INLINE_LENGTH else str(self.line_number("own", list(values)))
            self.group_texts[id(values)] = known
            # Kept, so that no other tuple takes its place in memory and is mistaken for it.
            self.kept_alive.append(values)
        return known

    def parents_number(self, parents: tuple[str, ...]) -> int:
        """Return the number of a tuple of parents."""
        known = self.line_numbers.setdefault("parents of", {})
        if parents not in known:
            known[parents] = self.line_number("parents", [self.job_numbers.get(parent, parent) for parent in parents])
        return known[parents]


def _changes(base: Mapping[str, Any], config: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the paths at which ``config`` differs from ``base``, with its values."""
    for key, value in config.items():
        here = (*path, key)
        if key not in base:
            yield here, value
            continue
        before = base[key]
        if isinstance(before, dict) and isinstance(value, dict) and set(before) <= set(value):
            yield from _changes(before, value, here)
        elif _to_json(before) != _to_json(value):
            yield here, value


def decode_jobs(lines: Iterable[str]) -> Iterator[JobDescription]:
    """Yield the descriptions that `encode_jobs` wrote; blank lines are skipped.

    Raises SeedfoldError, which names the line, if a line is damaged.
    """
    return (job for _, _, job in decode_lines(lines) if job is not None)


def decode_lines(lines: Iterable[str]) -> Iterator[tuple[int, Sequence[Any], JobDescription | None]]:
    """Yield number (from 0), content and job of each line; the job is None where the line is of none.

    Raises SeedfoldError, which names the line, if a line is damaged.
    """
    reader = DescriptionReader()
    for number, line, record in _parse_lines(lines):
        try:
            content = json.loads(line) if record is None else record
            job = reader.read_line(content)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SeedfoldError(f"description {number}: damaged ({error}); plan the study again") from error
        yield number - 1, content, job


def _parse_lines(lines: Iterable[str]) -> Iterator[tuple[int, str, Any]]:
    """Yield number, text and content of each line that is not blank; the content is None where a batch is damaged."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if not line.isspace() and line)
    while batch := list(islice(numbered, BATCH_LINES)):
        texts = [line for _, line in batch]
        for (number, line), record in zip(batch, _parse_batch(texts), strict=True):
            yield number, line, record


def _parse_batch(lines: Sequence[str]) -> Sequence[Any]:
    """Parse lines as one array, which is several times faster than one by one; all None where one is damaged."""
    try:
        records = json.loads(f"[{','.join(lines)}]")
    except ValueError:
        records = []
    return records if len(records) == len(lines) else [None] * len(lines)


@dataclass
class DescriptionReader:
    """What has been read so far, by kind and number.

    With all lines that are of no job, and the ``ids`` of the jobs, it reads any job on its own.
    """

    bases: list[Mapping[str, Any]] = field(default_factory=list)
    layouts: list[tuple[Layout, Mapping[str, str]]] = field(default_factory=list)
    heads: list[tuple[str, str, str, list[str], Resources]] = field(default_factory=list)
    parents: list[tuple[str, ...]] = field(default_factory=list)
    value_groups: list[tuple[Any, ...]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    known_ids: set[str] = field(default_factory=set)

    def read_line(self, record: Sequence[Any]) -> JobDescription | None:
        """Read one line, and return the job if the line is a job."""
        kind, *content = record
        if kind == "job":
            return self.make_job(*content)
        if kind == "base":
            self.bases.append(content[0])
        elif kind == "layout":
            groups = [[tuple(path) for path in group] for group in content[1]]
            self.layouts.append((Layout(self.bases[content[0]], groups), content[2]))
        elif kind == "head":
            self.heads.append((content[0], content[1], content[2], content[3], Resources.from_dict(content[4])))
        elif kind == "parents":
            self.parents.append(tuple(self.ids[parent] if isinstance(parent, int) else parent for parent in content[0]))
        elif kind == "own":
            self.value_groups.append(tuple(content[0]))
        else:
            raise ValueError(f"unknown kind {kind!r}")
        return None

    def make_job(
        self, head: int, layout: int, parents: int, job: str, fit: str | int, axes: list[Any], groups: list[Any]
    ) -> JobDescription:
        """Return one description."""
        study, stage, run, names, resources = self.heads[head]
        shared, texts = self.layouts[layout]
        values = tuple([self.value_groups[group] if isinstance(group, int) else tuple(group) for group in groups])
        if job not in self.known_ids:
            self.known_ids.add(job)
            self.ids.append(job)
        return JobDescription(
            id=job,
            study=study,
            stage=stage,
            axes=dict(zip(names, axes, strict=True)),
            config=SharedConfig(shared, values),
            parents=self.parents[parents],
            resources=resources,
            run=run,
            fit=fit if isinstance(fit, str) else job,
            texts=texts,
        )
