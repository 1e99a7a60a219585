"""bkill, bstop, bresume, brequeue, bmod and bpeek."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from clusters.lsf.dependencies import matching
from clusters.lsf.execution import Spool, read
from clusters.lsf.jobs import FINISHED, PENDING, Job
from clusters.lsf.listing import Query as Listed
from clusters.lsf.listing import fits, nothing
from clusters.lsf.options import BadOption, getopt
from clusters.lsf.replies import Reply, refuse_usage
from clusters.lsf.submission import SIGNALS
from clusters.lsf.system import System

ADMIN = "lsfadmin"
USAGES = {
    "bkill": "usage: bkill [-h] [-V] [-l] [-r] [-m host_name] [-q queue_name]\n"
    '             [-J job_name] [-u user_name | -u all] [-s signal] [jobId | "jobId[index]" ...]\n',
    "bstop": 'usage: bstop [-h] [-V] [-J job_name] [-u user_name | -u all] [jobId | "jobId[index]" ...]\n',
    "bresume": 'usage: bresume [-h] [-V] [-J job_name] [-u user_name | -u all] [jobId | "jobId[index]" ...]\n',
    "brequeue": 'usage: brequeue [-h] [-V] [-J job_name | -J "job_name[index_list]"]\n'
    '             [-u user_name | -u all] [-a] [-d] [-e] [-r] [-H] jobId | "jobId[index_list]" ...\n',
    "bpeek": 'usage: bpeek [-h] [-V] [-f] [-q queue_name | -m host_name | -J job_name | jobId | "jobId[index]"]\n',
}
FLAGS = {"bkill": "hVlr", "bstop": "hVa", "bresume": "hV", "brequeue": "hVadeprH", "bpeek": "hVf"}
NO_JOB, FINISHED_ALREADY, NOT_STARTED = "No matching job found", "Job has already finished", "Job has not started yet"
DENIED, IN_PROGRESS = "User permission denied", "Operation is in progress"

Deed = Callable[[Sequence[Job]], "str | None"]
"""Does something to jobs that are named as one; the complaint, if it cannot."""


def control(command: str, system: System, arguments: Sequence[str], user: str) -> Reply:
    """What one of the commands that end, stop or requeue jobs prints."""
    try:
        flags, values, specs = getopt(arguments, FLAGS[command], "JmqugsbR", {"C": True})
        if {"h", "V"} & flags or not (specs or values.keys() & {"J", "q", "m", "u", "g"}):
            raise BadOption("Job ID or one of the options -J -q -m -u must be specified" if not flags else "")
        number = signal_number(values.get("s"))
    except BadOption as fault:
        return refuse_usage(command, fault, USAGES[command])
    deeds: dict[str, tuple[str, Deed]] = {
        "bkill": killing(system, user, number, "r" in flags),
        "bstop": ("is being stopped", lambda jobs: stop(system, jobs)),
        "bresume": ("is being resumed", lambda jobs: resume(system, jobs)),
        "brequeue": ("is being requeued", lambda jobs: requeue(system, jobs, user, flags)),
    }
    words, deed = deeds[command]
    return carry_out(named(system, specs, values, user), words, deed, user, nothing(Listed()))


def modify(system: System, arguments: Sequence[str], user: str) -> Reply:
    """What bmod prints: it changes how many elements of an array run at a time, and nothing else."""
    try:
        _, values, specs = getopt(arguments, "hV", "J")
        if not specs or not values.get("J", "").startswith("%") or not values["J"][1:].isdigit():
            raise BadOption("the fake knows -J %limit jobId only")
    except BadOption as fault:
        return refuse_usage("bmod", fault, 'usage: bmod [-h] [-V] [-J "%job_limit"] jobId\n')
    groups = named(system, specs, {}, user)
    reply = carry_out(groups, "", lambda jobs: limit(system, jobs, int(values["J"][1:])), user, NO_JOB)
    return reply if reply.code else Reply(f"Parameters of job <{specs[0]}> are being changed\n")


def limit(system: System, jobs: Sequence[Job], count: int) -> str | None:
    if all(job.finished for job in jobs):
        return FINISHED_ALREADY
    request = jobs[0].request
    assert request.array is not None
    changed = replace(request, array=replace(request.array, limit=count))
    for job in jobs:
        job.request = changed
    system.schedule()
    return None


def signal_number(text: str | None) -> int | None:
    if text is None:
        return None
    name = text.upper().removeprefix("SIG")
    known = {**SIGNALS, "STOP": signal.SIGSTOP, "TSTP": signal.SIGTSTP, "CONT": signal.SIGCONT}
    if name.isdigit() and 0 < int(name) < 65:
        return int(name)
    if name not in known:
        raise BadOption(f"{text}: Illegal signal value")
    return int(known[name])


def named(system: System, specs: Sequence[str], values: dict[str, str], user: str) -> list[tuple[str, list[Job]]]:
    """What was named and the jobs that it stands for: an array is one, its elements are one each."""
    query = Listed(values=values)
    whose = values.get("u", user)
    known = [job for job in system.jobs if not system.is_cleaned(job)]
    fitting = [job for job in known if fits(system, job, query, None)]
    if not specs or list(specs) == ["0"]:
        ours = [job for job in fitting if not job.finished and (whose == "all" or job.request.user == whose)]
        return [(job.label, [job]) for job in ours]
    groups: list[tuple[str, list[Job]]] = []
    for spec in specs:
        jobs = matching(fitting, spec) if spec[:1].isdigit() else []
        if "[" in spec and jobs:
            groups += [(job.label, [job]) for job in jobs]
        else:
            groups.append((spec, jobs))
    return groups


def carry_out(groups: Sequence[tuple[str, list[Job]]], words: str, deed: Deed, user: str, none: str) -> Reply:
    if not groups:
        return Reply(err=f"{none}\n", code=255)
    out, err = "", ""
    for label, jobs in groups:
        complaint = NO_JOB if not jobs else (denied(jobs, user) or deed(jobs))
        if complaint:
            err += f"Job <{label}>: {complaint}\n"
        else:
            out += f"Job <{label}> {words}\n"
    return Reply(out, err, 255 if err else 0)


def denied(jobs: Sequence[Job], user: str) -> str | None:
    return DENIED if any(job.request.user != user for job in jobs) and user != ADMIN else None


def killing(system: System, user: str, number: int | None, remove: bool) -> tuple[str, Deed]:
    if number in {signal.SIGSTOP, signal.SIGTSTP}:
        return "is being stopped", lambda jobs: stop(system, jobs)
    if number == signal.SIGCONT:
        return "is being resumed", lambda jobs: resume(system, jobs)
    if number is not None and number != signal.SIGKILL:
        return "is being signaled", lambda jobs: send(system, jobs, number, user)
    return "is being terminated", lambda jobs: kill(system, jobs, user, number, remove)


def kill(system: System, jobs: Sequence[Job], user: str, number: int | None, remove: bool) -> str | None:
    going = [job for job in jobs if not job.finished]
    if not going:
        return FINISHED_ALREADY
    mixed = len({job.state in PENDING for job in going}) > 1
    for job in going:
        if remove:
            system.remove(job, user)
        else:
            system.kill(job, user, "TERM_ADMIN" if user == ADMIN else "TERM_OWNER")
        if number is not None:
            system.signal(job, number)
    return IN_PROGRESS if mixed and system.oddities.strikes("in_progress") else None


def send(system: System, jobs: Sequence[Job], number: int, user: str) -> str | None:
    running = [job for job in jobs if job.pid is not None]
    for job in running:
        name = signal.Signals(number).name.removeprefix("SIG")
        job.tell(f"Signal <{name}> requested by user or administrator <{user}>;")
        system.signal(job, number)
    if running:
        return None
    return FINISHED_ALREADY if all(job.finished for job in jobs) else NOT_STARTED


def stop(system: System, jobs: Sequence[Job]) -> str | None:
    going = [job for job in jobs if not job.finished]
    for job in going:
        system.suspend(job)
    return None if going else FINISHED_ALREADY


def resume(system: System, jobs: Sequence[Job]) -> str | None:
    going = [job for job in jobs if not job.finished]
    for job in going:
        system.resume(job)
    return None if going else FINISHED_ALREADY


def requeue(system: System, jobs: Sequence[Job], user: str, flags: set[str]) -> str | None:
    """Of jobs that run; with ``-d`` and ``-e``, or ``-a``, of those that have ended as well."""
    wanted = {"RUN", "USUSP", "SSUSP", "UNKWN"} if not flags & {"d", "e"} or flags & {"r", "a"} else set()
    wanted |= {state for flag, state in (("d", "DONE"), ("e", "EXIT")) if flags & {flag, "a"}}
    fitting = [job for job in jobs if job.state in wanted and not job.in_transit]
    for job in fitting:
        job.requeue_held = "H" in flags
        system.begin_requeue(job, user)
    if fitting:
        return None
    if any(job.in_transit for job in jobs):
        return "Job has already been requeued"
    return FINISHED_ALREADY if all(job.state in FINISHED for job in jobs) else NOT_STARTED


# bpeek


def peeked(system: System, arguments: Sequence[str], user: str) -> tuple[Job | None, Reply, bool]:
    """The job that bpeek is to show, if it can, with what it prints at first, and whether it goes on."""
    try:
        flags, values, specs = getopt(arguments, FLAGS["bpeek"], "Jmqu")
    except BadOption as fault:
        return None, refuse_usage("bpeek", fault, USAGES["bpeek"]), False
    groups = named(system, specs[:1], values, user)
    jobs = [job for _, group in groups for job in group]
    if not jobs:
        return None, Reply(err=f"Job <{specs[0]}>: {NO_JOB}\n" if specs else f"{NO_JOB}\n", code=255), False
    job = jobs[-1]
    if job.pid is None:
        why = FINISHED_ALREADY if job.finished else "Not yet started"
        return None, Reply(err=f"Job <{job.label}> : {why}.\n", code=255), False
    return job, Reply(f"<< output from stdout >>\n{so_far(system, job)}"), "f" in flags


def so_far(system: System, job: Job) -> str:
    """What a job has printed until now."""
    if job.request.direct_output and job.request.output:
        return read(Path(job.expand(job.request.output)))
    return read(Spool(system.folder / "spool", job).output)
