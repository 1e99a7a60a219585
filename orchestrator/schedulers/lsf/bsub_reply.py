"""Reads the replies of `bsub`."""

from __future__ import annotations

import re

_JOB_NUMBER = re.compile(r"Job <([0-9]{1,18})> is submitted to (?:default )?queue <[^>]+>")
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
    """The number of the accepted job; None if the reply names none or several. There may be other lines around it."""
    numbers = set(_JOB_NUMBER.findall(reply))
    return numbers.pop() if len(numbers) == 1 else None


def is_refusal(reply: str) -> bool:
    """Whether LSF said that it refused the job."""
    return _REFUSED.search(reply) is not None


def is_queue_full(reply: str) -> bool:
    """Whether a refusal is only temporary, because too many jobs are queued."""
    return _QUEUE_FULL.search(reply) is not None and not _LIMIT_OF_ONE_JOB.search(reply)


def is_dependency_refusal(reply: str) -> bool:
    """Whether a refusal is caused by a dependency on a job that LSF has forgotten."""
    return _DEPENDENCY.search(reply) is not None


def clean_message(reply: str) -> str:
    """A message of LSF, without the phrases that it always adds."""
    return _FIXED_ENDING.sub("", reply)
