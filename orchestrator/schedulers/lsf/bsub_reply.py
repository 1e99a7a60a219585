"""The sense of what `bsub` replies."""

from __future__ import annotations

import re

_JOB_NUMBER = re.compile(r"Job <(\d+)> is submitted to (?:default )?queue <[^>]+>")
_REFUSED = re.compile(
    r"not submitted|request (was )?aborted|rejected|(illegal|invalid) option|requires an argument|usage: *bsub",
    re.IGNORECASE,
)
_QUEUE_FULL = re.compile(
    r"(pending|job|slot|submission)\w*( \w+){0,4} (limit|threshold|maximum)( \w+){0,6} (reach|exceed)\w*"
    r"|(reach|exceed)\w*( \w+){0,6} (pending|job|slot)\w*( \w+){0,3} (limit|threshold|maximum)"
    r"|too many (\w+ )*jobs|maximum number of (\w+ )*jobs|try again later",
    re.IGNORECASE,
)
_LIMIT_OF_ONE_JOB = re.compile(r"array|run ?limit|mem ?limit|processor|proc(ess)? ?limit|hard limit", re.IGNORECASE)
_DEPENDENCY = re.compile(r"dependency|no matching job|is not found", re.IGNORECASE)
_FIXED_ENDING = re.compile(r"\.?\s*Job not submitted\.?\s*$")


def parse_job_number(reply: str) -> str | None:
    """The number of a job that was taken; None where none is named, or several are. Other lines may stand around."""
    numbers = set(_JOB_NUMBER.findall(reply))
    return numbers.pop() if len(numbers) == 1 else None


def is_refusal(reply: str) -> bool:
    """Whether LSF said that it has not taken the job."""
    return _REFUSED.search(reply) is not None


def is_queue_full(reply: str) -> bool:
    """Whether a refusal is for now only: so many jobs are queued that it takes no more."""
    return _QUEUE_FULL.search(reply) is not None and not _LIMIT_OF_ONE_JOB.search(reply)


def is_dependency_refusal(reply: str) -> bool:
    """Whether a refusal is for a job that was to end before, and is not known any more."""
    return _DEPENDENCY.search(reply) is not None


def clean_message(reply: str) -> str:
    """What LSF said, without what it always adds."""
    return _FIXED_ENDING.sub("", reply)
