"""What bjobs tells of one job, each thing by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence

from clusters.lsf.jobs import REASONS, Job
from clusters.lsf.system import System


def shown_state(system: System, job: Job) -> str:
    """As bjobs says it: with delay, in the dialect's spelling, or what a test wants it to say."""
    if job.shown_as:
        return job.shown_as
    behind = system.oddities.seconds("stale", "bjobs")
    if behind and job.finished and time.time() - (job.ended or 0) < behind:
        return "RUN" if job.started else "PEND"
    return "ZOMBIE" if job.state == "ZOMBI" and not system.settings.classic else job.state


def tail(text: str, width: int) -> str:
    return text if len(text) <= width else "*" + text[1 - width :]


def counted_hosts(job: Job) -> str:
    return ":".join(f"{slots}*{host}" if slots > 1 else host for host, slots in job.allocation.items())


def short_time(when: float) -> str:
    return time.strftime("%b %e %H:%M", time.localtime(when))


def pending_reasons(job: Job) -> Sequence[str]:
    return ("Job was suspended by the user while pending;",) if job.state == "PSUSP" else job.pending_reasons


def exit_code(system: System, job: Job) -> str:
    if shown_state(system, job) != "EXIT" or job.cpu is None:
        return ""
    return str(128 + job.exit_signal if job.exit_signal else job.exit_code or 0)


def exit_reason(system: System, job: Job) -> str:
    if shown_state(system, job) != "EXIT" or not job.reason:
        return ""
    return f"{job.reason}: {REASONS.get(job.reason, 'unknown')}"


def moment(when: float | None) -> str:
    return short_time(when) if when else ""


def run_time(job: Job) -> str:
    return f"{int((job.ended or time.time()) - job.started) if job.started else 0} second(s)"
