"""The description of one job: everything that decides what it computes, and nothing else.

A description is a frozen value. On disk it is JSON; it never holds a model, data, a path of the ledger, or a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seedfold.jobs.canonical_json import canonical_flat
from seedfold.jobs.resources import Resources

JsonValue = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

SHORT_ID_LENGTH = 12


@dataclass(frozen=True, slots=True)
class JobDescription:
    """One job of a study.

    ``id`` is the full SHA-256 of what the job computes (see `seedfold.jobs.identity`); ``fit`` is the same for
    the part of it that trains, so that jobs which differ only in how they predict share their weights. ``config``
    is what Hydra composes for this point, resolved; references to upstream results stay as text. ``texts`` holds, by
    dotted key, what is hashed instead of a value that depends on the machine: ``${paths.data}/digits.csv``. ``config``
    and what it holds may be shared with other jobs: read it, never change it.
    """

    id: str
    study: str
    stage: str
    axes: Mapping[str, JsonValue]
    config: Mapping[str, JsonValue]
    parents: tuple[str, ...]
    resources: Resources
    run: str
    fit: str = field(default="")
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        """The first twelve characters of the id, as shown to people."""
        return self.id[:SHORT_ID_LENGTH]

    @property
    def address(self) -> tuple[str, str]:
        """(stage, axis values as canonical text): the place in the study that this job fills."""
        return self.stage, canonical_flat(self.axes)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the JSON form: plain data at every depth."""
        return {
            "id": self.id,
            "study": self.study,
            "stage": self.stage,
            "axes": dict(self.axes),
            "config": dict(self.config),
            "parents": list(self.parents),
            "resources": self.resources.to_dict(),
            "run": self.run,
            "fit": self.fit,
            "texts": dict(self.texts),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, JsonValue]) -> JobDescription:
        """Read the JSON form; raises KeyError where a field is missing."""
        return cls(
            id=record["id"],
            study=record["study"],
            stage=record["stage"],
            axes=record["axes"],
            config=record["config"],
            parents=tuple(record["parents"]),
            resources=Resources.from_dict(record["resources"]),
            run=record["run"],
            fit=record.get("fit") or record["id"],
            texts=record.get("texts") or {},
        )
