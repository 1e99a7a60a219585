"""In which keys two jobs differ, and which of these keys change what is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import SHORT_ID_LENGTH, JobDescription
from seedfold.jobs.identity import Identity, hashed_document

ABSENT: Final = "(absent)"
"""The value that is shown for a key that one of the jobs does not have."""


@dataclass(frozen=True)
class Difference:
    """One key in which two jobs differ; ``counts`` is false if it does not change what they compute."""

    key: str
    left: Any
    right: Any
    counts: bool


def find_differences(
    left: JobDescription, right: JobDescription, identity: Identity | Mapping[str, Any] | None
) -> list[Difference]:
    """Return the differences of two jobs, those that count first: ``run``, ``parents``, then keys of the configuration.

    ``identity`` is what the study's configuration holds under that key. Lists are compared as a whole. Parents are
    shown as the short ids that only one of the jobs has.
    """
    settings = identity if isinstance(identity, Identity) else Identity.from_config(identity)
    found = [
        *_run_differences(left, right, settings),
        *_parent_differences(left, right),
        *_config_differences(left, right, settings),
    ]
    return sorted(found, key=lambda difference: not difference.counts)


def _run_differences(left: JobDescription, right: JobDescription, identity: Identity) -> Iterator[Difference]:
    if left.run != right.run:
        yield Difference("run", left.run, right.run, identity.old_name(left.run) != identity.old_name(right.run))


def _parent_differences(left: JobDescription, right: JobDescription) -> Iterator[Difference]:
    only_left, only_right = set(left.parents) - set(right.parents), set(right.parents) - set(left.parents)
    if only_left or only_right:
        yield Difference("parents", _short_ids(only_left), _short_ids(only_right), counts=True)


def _short_ids(ids: set[str]) -> list[str]:
    return sorted(parent[:SHORT_ID_LENGTH] for parent in ids)


def _config_differences(left: JobDescription, right: JobDescription, identity: Identity) -> Iterator[Difference]:
    mine, other = dict(_leaves(left.config)), dict(_leaves(right.config))
    hashed, hashed_other = (dict(_leaves(hashed_document(job.config, identity, job.texts))) for job in (left, right))
    for key in dict.fromkeys((*mine, *other)):
        if not _have_equal(mine, other, key):
            counts = not _have_equal(hashed, hashed_other, identity.old_name(key))
            yield Difference(key, mine.get(key, ABSENT), other.get(key, ABSENT), counts)


def _have_equal(left: Mapping[str, Any], right: Mapping[str, Any], key: str) -> bool:
    if (key in left) != (key in right):
        return False
    return key not in left or canonical_json(left[key]) == canonical_json(right[key])


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
