"""bhist: it knows what bjobs has forgotten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from clusters.lsf.dependencies import name_matches
from clusters.lsf.job_fields import tail
from clusters.lsf.jobs import Job, Request
from clusters.lsf.listing import SPECS, fits_spec, head_word, submission_line
from clusters.lsf.options import BadOption, getopt
from clusters.lsf.replies import Reply, refuse_usage, stamp, wrapped
from clusters.lsf.system import System

USAGE = """\
usage: bhist [-h] [-V] [-l] [-b] [-w] [-a] [-d] [-e] [-p] [-s] [-r]
             [-f logfile_name | -n num_logfiles | -n min_logfile, max_logfile]
             [-C time0,time1] [-S time0,time1] [-D time0,time1]
             [-N host_spec] [-P project_name]
             [-q queue_name] [-m host_name] [-J job_name]
             [-u user_name | -u all] [jobId | "jobId[index]" ...]
"""


def bhist(system: System, arguments: Sequence[str], user: str) -> Reply:
    """What bhist prints."""
    if system.oddities.strikes("no_history"):
        return Reply(err="lsb.events: No such file or directory\n", code=255)
    try:
        words = {} if system.settings.classic else {"UF": False, "cname": False}
        flags, values, specs = getopt(arguments, "VaAhwlbdepstr", "fqmuCDSNJPTn", words)
        if bad := [spec for spec in specs if not SPECS.fullmatch(spec)]:
            raise BadOption(f"{bad[0]}: Illegal job ID.")
    except BadOption as fault:
        return refuse_usage("bhist", fault, USAGE)
    jobs = [job for job in system.history if wanted(job, flags, values, [spec for spec in specs if spec != "0"], user)]
    if not jobs:
        text = "No matching job found\n"
        return Reply(out=text, code=255) if system.settings.classic else Reply(err=text, code=255)
    return Reply(at_length(system, jobs, "UF" not in flags) if flags & {"l", "UF"} else summary(jobs, "w" in flags))


def wanted(job: Job, flags: set[str], values: dict[str, str], specs: Sequence[str], user: str) -> bool:
    if specs:
        return any(fits_spec(job, spec) for spec in specs)
    whose = values.get("u", user)
    shown = {"a": True, "d": job.state == "DONE", "e": job.state == "EXIT", "p": job.state == "PEND"}
    shown |= {"r": job.state == "RUN", "s": "SUSP" in job.state}
    asked = flags & set(shown)
    return (
        (whose == "all" or job.request.user == whose)
        and ("J" not in values or name_matches(job, values["J"]))
        and ("q" not in values or job.request.queue == values["q"])
        and (any(shown[flag] for flag in asked) if asked else not job.finished)
    )


def at_length(system: System, jobs: Sequence[Job], wrap: bool) -> str:
    rule = "-" * 78 + "\n"
    if system.oddities.strikes("whole_arrays"):
        jobs = [whole([job for job in jobs if job.request is request]) for request in requests(jobs)]
    return rule.join(entry(system, job, wrap) for job in jobs) + "\n"


def requests(jobs: Sequence[Job]) -> list[Request]:
    """Each once; the elements of an array share theirs."""
    return list({id(job.request): job.request for job in jobs}.values())


def whole(elements: Sequence[Job]) -> Job:
    """An array as a job of its own, with everything that happened to these elements."""
    events = sorted((event for job in elements for event in job.events), key=lambda event: event.time)
    first = elements[0]
    indices = first.request.array.indices if first.request.array else ()
    name = f"{first.request.name}[{indices[0]}-{indices[-1]}]" if indices else first.request.name
    return replace(first, index=0, request=replace(first.request, name=name), events=events)


def entry(system: System, job: Job, wrap: bool) -> str:
    request = job.request
    name = f" Job Name <{job.name}>," if request.name else ""
    head = f"{head_word(system)} <{job.label}>,{name} User <{request.user}>, Project <{request.project}>"
    lines = [f"{head}, Command <{request.shown_command}>", submission_line(system, job, queue=True)]
    lines += [f"{stamp(event.time)}: {event.text}" for event in job.events]
    text = "\n".join(wrapped(line) if wrap else line for line in lines)
    now = stamp(time.time())
    states = f"  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL\n  {spent(job, 8)}"
    return f"\n{text}\n\nSummary of time in seconds spent in various states by  {now}\n{states}\n"


def summary(jobs: Sequence[Job], wide: bool) -> str:
    lines = ["Summary of time in seconds spent in various states:"]
    lines.append("JOBID   USER    JOB_NAME  PEND    PSUSP   RUN     USUSP   SSUSP   UNKWN   TOTAL")
    for job in jobs:
        name = job.name if wide else tail(job.name, 9)
        lines.append(f"{job.label:<7} {job.request.user:<7.7} {name:<9} {spent(job, 7)}")
    return "\n".join(lines) + "\n\n"


def spent(job: Job, width: int) -> str:
    """Seconds in each state; suspension is not told from running."""
    end = job.ended or time.time()
    pending = int((job.started or end) - job.submitted)
    running = int(end - job.started) if job.started else 0
    return " ".join(f"{number:<{width}}" for number in (pending, 0, running, 0, 0, 0, pending + running))
