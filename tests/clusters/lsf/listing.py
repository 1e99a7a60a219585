"""bjobs."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clusters.lsf import execution
from clusters.lsf.dependencies import name_matches
from clusters.lsf.job_fields import (
    counted_hosts,
    exit_code,
    exit_reason,
    moment,
    pending_reasons,
    run_time,
    short_time,
    shown_state,
    tail,
)
from clusters.lsf.jobs import FINISHED, PENDING, SUSPENDED, Job
from clusters.lsf.options import BadOption, getopt
from clusters.lsf.replies import Reply, refuse_usage, stamp, wrapped
from clusters.lsf.running import end_line
from clusters.lsf.system import System

SPECS = re.compile(r"(\d+)(\[[\d,:\s-]+\])?")
NARROW = "{:<7} {:<7.7} {:<5.5} {:<10.10} {:<11.11} {:<11.11} {:<10} {}"
WIDE = "{:<7} {:<7} {:<5.5} {:<10} {:<11} {:<11} {:<10} {}"
HEADER = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
COUNTED = ("PEND", "DONE", "RUN", "EXIT", "SSUSP", "USUSP", "PSUSP")
NOTHING = {"r": "No running job found", "p": "No pending job found", "s": "No suspended job found"}
USAGE = """\
usage: bjobs [-h] [-V] [-w |-l |-UF] [-a] [-d] [-p] [-s] [-r] [-A]
             [-m host_name] [-q queue_name] [-u user_name | -u all]
             [-P project_name] [-N host_spec]
             [-J name_spec] [jobId | "jobId[idxList]" ...]
"""


@dataclass
class Query:
    """What bjobs is asked."""

    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    specs: list[str] = field(default_factory=list)

    @property
    def long(self) -> bool:
        return bool(self.flags & {"l", "UF"})


def bjobs(system: System, arguments: Sequence[str], user: str) -> Reply:
    """What bjobs prints."""
    try:
        query = parse(arguments, system)
    except BadOption as fault:
        return refuse_usage("bjobs", fault, USAGE)
    jobs, missing = select(system, query, user)
    if not jobs and not missing and "json" not in query.flags:
        return Reply(err=nothing(query) + "\n", code=255)
    if system.oddities.strikes("random_order"):
        random.shuffle(jobs)
    errors = [f"Job <{spec}> is not found" for spec in missing]
    code = 255 if missing else 0
    if "o" in query.values:
        return customized(system, query, jobs, errors, missing)
    err = "".join(f"{error}\n" for error in errors)
    if query.long:
        return Reply(long(system, query, jobs) if jobs else "", err, code)
    return Reply(table(system, query, jobs) if jobs else "", err, code)


def parse(arguments: Sequence[str], system: System) -> Query:
    classic = system.settings.classic
    words = {"noheader": False, "UF": False, "WF": False, "WL": False, "WP": False, "X": False}
    if system.oddities.values.get("no_noheader"):
        del words["noheader"]
    if not classic:
        words |= {"json": False, "o": True, "gpu": False, "hostfile": False, "hms": False, "psum": False}
    flags, values, specs = getopt(arguments, "VladpsrwWRAhXx", "JquUmNPgGS", words)
    bad = [spec for spec in specs if not SPECS.fullmatch(spec)]
    if bad or {"h", "V"} & flags or ("json" in flags and "o" not in values):
        raise BadOption(f"{bad[0]}: Illegal job ID." if bad else "")
    return Query(flags, values, [spec for spec in specs if spec != "0"])


def select(system: System, query: Query, user: str) -> tuple[list[Job], list[str]]:
    """The jobs to list, and those of the ids asked for that there are none of."""
    known = [job for job in system.jobs if not system.is_cleaned(job) and not too_new(system, job)]
    if query.specs:
        found = [(spec, [job for job in known if fits_spec(job, spec)]) for spec in query.specs]
        wanted = {id(job) for _, jobs in found for job in jobs}
        jobs = [job for job in known if id(job) in wanted and fits(system, job, query, None)]
        return jobs, [spec for spec, jobs_of in found if not jobs_of]
    whose = query.values.get("u", user)
    jobs = [job for job in known if fits(system, job, query, None if whose == "all" else whose)]
    jobs = [job for job in jobs if in_state(shown_state(system, job), query.flags)]
    name = query.values.get("J")
    return jobs, [name] if name and not jobs else []


def too_new(system: System, job: Job) -> bool:
    behind = system.oddities.seconds("stale", "bjobs")
    return bool(behind) and time.time() - job.submitted < behind


def fits_spec(job: Job, spec: str) -> bool:
    number, _, inner = spec.partition("[")
    if job.id != int(number):
        return False
    return not inner or name_matches(job, f"*[{inner}") if job.index else not inner


def fits(system: System, job: Job, query: Query, user: str | None) -> bool:
    request, values = job.request, query.values
    return (
        (user is None or request.user == user)
        and ("J" not in values or name_matches(job, values["J"]))
        and ("q" not in values or request.queue == values["q"])
        and ("P" not in values or request.project == values["P"])
        and ("g" not in values or request.group == values["g"] or request.group.startswith(values["g"] + "/"))
        and ("m" not in values or values["m"] in job.allocation)
    )


def in_state(state: str, flags: set[str]) -> bool:
    """Whether the job belongs to what ``-a -d -p -r -s`` list; without them the unfinished."""
    ended = state in FINISHED
    chosen = {
        "a": True,
        "d": ended,
        "p": state in {"PEND", "PSUSP"},
        "r": state in {"RUN", "UNKWN"},
        "s": state in SUSPENDED,
    }
    asked = flags & set(chosen)
    return any(chosen[flag] for flag in asked) if asked else not ended


def nothing(query: Query) -> str:
    if query.flags & {"a", "d"}:
        return "No job found"
    return next((text for flag, text in NOTHING.items() if flag in query.flags), "No unfinished job found")


# The table


def table(system: System, query: Query, jobs: Sequence[Job]) -> str:
    if "A" in query.flags:
        return arrays(jobs)
    lines = [] if "noheader" in query.flags else [HEADER]
    wide = bool(query.flags & {"w", "W"})
    for job in jobs:
        lines += wide_row(system, job) if wide else narrow_row(system, job)
        if "p" in query.flags and job.state in PENDING:
            lines += [f" {reason}" for reason in pending_reasons(job)]
    return "".join(f"{line}\n" for line in lines)


def wide_row(system: System, job: Job) -> list[str]:
    state = shown_state(system, job)
    hosts = ":".join(job.exec_hosts) if system.settings.classic else counted_hosts(job)
    host = "   -    " if state in PENDING or not hosts else hosts
    row = (job.id, job.request.user, state, job.request.queue, system.host_name, host, job.name)
    return [WIDE.format(*row, short_time(job.submitted))]


def narrow_row(system: System, job: Job) -> list[str]:
    """Names that are too long lose their beginning, for a ``*``."""
    state = shown_state(system, job)
    hosts = job.exec_hosts if system.settings.classic else [counted_hosts(job)]
    host = "" if state in PENDING else (hosts or [""])[0] or "   -   "
    row = (job.id, job.request.user, state, job.request.queue, system.host_name, host, tail(job.name, 10))
    more = [" " * 45 + host for host in hosts[1:]] if state not in PENDING else []
    return [NARROW.format(*row, short_time(job.submitted)), *more]


def arrays(jobs: Sequence[Job]) -> str:
    lines = ["JOBID    ARRAY_SPEC  OWNER   NJOBS PEND DONE  RUN EXIT SSUSP USUSP PSUSP"]
    for number in sorted({job.id for job in jobs if job.index}):
        ours = [job for job in jobs if job.id == number]
        counts = [
            sum(job.state == state for job in ours)
            for state in ["PEND", "DONE", "RUN", "EXIT", "SSUSP", "USUSP", "PSUSP"]
        ]
        spec = f"{ours[0].request.name}[{ours[0].index}-{ours[-1].index}]"
        numbers = " ".join(f"{count:>4}" for count in counts)
        lines.append(f"{number:<7}  {spec:<8.8} {ours[0].request.user:>8.8}   {len(ours):>5} {numbers}")
    return "".join(f"{line}\n" for line in lines)


# At length


def long(system: System, query: Query, jobs: Sequence[Job]) -> str:
    rule = "-" * 78 + "\n"
    wrap: Callable[[str], str] = str if "UF" in query.flags else wrapped
    return rule.join(long_entry(system, job, wrap) for job in jobs) + "\n"


def long_entry(system: System, job: Job, wrap: Callable[[str], str]) -> str:
    request, state = job.request, shown_state(system, job)
    name = f" Job Name <{job.name}>," if request.name else ""
    group = f" Job Group <{request.group}>," if request.group else ""
    head = (
        f"{head_word(system)} <{job.label}>,{name} User <{request.user}>, Project <{request.project}>,{group}"
        f" Status <{state}>, Queue <{request.queue}>, Command <{request.shown_command}>"
    )
    lines = ["", *(wrap(line) for line in [head, submission_line(system, job)])]
    lines += limits(system, job)
    if job.started and state not in PENDING:
        lines.append(wrap(start_line(system, job)))
    return "\n".join([*lines, *fate(system, job, state, wrap), *parameters(job)]) + "\n"


def head_word(system: System) -> str:
    return "Job Id" if system.oddities.strikes("id_heads") else "Job"


def submission_line(system: System, job: Job, queue: bool = False) -> str:
    request, held = job.request, " with hold" if job.request.hold else ""
    parts = [f"{stamp(job.submitted)}: Submitted from host <{system.host_name}>{held}"]
    if queue:
        parts.append(f"to Queue <{request.queue}>")
    parts.append(f"CWD <{home_relative(request.cwd, request.environment.get('HOME', ''))}>")
    for word, value in (("Input", request.input), ("Output", request.output), ("Error", request.error)):
        if value:
            parts.append(f"{word} File <{value}>")
    if request.rerunnable:
        parts.append("Re-runnable")
    if request.resources.slots > 1:
        slots = request.resources.slots
        parts.append(f"{slots} Processors Requested" if system.settings.classic else f"{slots} Task(s)")
    if request.resources.text:
        parts.append(f"Requested Resources <{request.resources.text}>")
    if request.dependency:
        parts.append(f"Dependency Condition <{request.dependency}>")
    return ", ".join(parts) + ";"


def home_relative(path: str, home: str) -> str:
    if home and path == home:
        return "$HOME"
    return f"$HOME/{path.removeprefix(home + '/')}" if home not in {"", "/"} and path.startswith(home + "/") else path


def limits(system: System, job: Job) -> list[str]:
    lines = []
    if (limit := system.run_limit(job)) is not None:
        lines += ["", " RUNLIMIT", f" {limit / 60:.1f} min of {system.host_name}"]
    if job.request.memory_limit is not None:
        lines += ["", " MEMLIMIT", f" {job.request.memory_limit // 1024:>6} K"]
    return [*lines, ""] if lines else []


def start_line(system: System, job: Job) -> str:
    hosts = " ".join(f"<{host}>" for host in job.exec_hosts)
    home = job.request.environment.get("HOME", "/")
    if system.settings.classic:
        several = f"{len(job.exec_hosts)} Hosts/Processors " if len(job.exec_hosts) > 1 else ""
        where = f"Started on {several}{hosts}"
    else:
        count = len(job.exec_hosts)
        where = f"Started {count} Task(s) on Host(s) {hosts}, Allocated {count} Slot(s) on Host(s) {hosts}"
    return f"{stamp(job.started or 0)}: {where}, Execution Home <{home}>, Execution CWD <{job.request.cwd}>;"


def fate(system: System, job: Job, state: str, wrap: Callable[[str], str]) -> list[str]:
    if state in PENDING:
        return [" PENDING REASONS:", *(f" {reason}" for reason in pending_reasons(job))]
    if state in SUSPENDED:
        return [" SUSPENDING REASONS:", f" {'Preempted' if job.is_preempted else 'The job was suspended by user'};"]
    if state == "EXIT" and job.in_transit:
        return [f"{stamp(job.ended or time.time())}: Exited;"]
    if state not in FINISHED:
        return [] if state != "ZOMBI" else ["Termination request issued; the job will be killed once the host is ok;"]
    when = stamp(job.ended or 0)
    lines = [wrap(f"{when}: {end_line(job).removesuffix('.')}.")]
    if job.reason and system.settings.tells_exit_reasons and state == "EXIT":
        lines.append(wrap(f"{when}: {execution.completed(job).removesuffix(';')}."))
    return lines


def parameters(job: Job) -> list[str]:
    requirement = job.request.resources.text or "-"
    return [
        "",
        " SCHEDULING PARAMETERS:",
        "           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem",
        " loadSched   -     -     -     -       -     -    -     -     -      -      -  ",
        " loadStop    -     -     -     -       -     -    -     -     -      -      -  ",
        "",
        " RESOURCE REQUIREMENT DETAILS:",
        f" Combined: {requirement}",
        f" Effective: {requirement if job.started else '-'}",
    ]


def expected_start(system: System, job: Job) -> str:
    """Empty where nothing is simulated."""
    expected = system.settings.starts_in
    return "" if expected is None or job.state not in PENDING else f"{moment(time.time() + expected)} L"


# -o and -json


def customized(system: System, query: Query, jobs: Sequence[Job], errors: list[str], missing: list[str]) -> Reply:
    """With ``-json`` all goes to standard output, what is not found as well."""
    text, _, delimiter = query.values["o"].partition("delimiter=")
    columns = [column.partition(":") for column in text.split()]
    names = [name.lower() for name, _, _ in columns]
    if bad := [name for name in names if name not in FIELDS]:
        return Reply(err=f"<{bad[0]}> in the format string is not a valid field name.\n", code=255)
    rows = [{name: FIELDS[name](system, job) for name in names} for job in jobs]
    code = 255 if missing else 0
    if "json" in query.flags:
        records = [{name.upper(): value for name, value in row.items()} for row in rows]
        records += [{"JOBID": spec, "ERROR": error} for spec, error in zip(missing, errors, strict=True)]
        whole = {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}
        return Reply(json.dumps(whole, indent=2) + "\n", "", code)
    lines = [] if "noheader" in query.flags else [[name.upper() for name in names]]
    lines += [[row[name] or "-" for name in names] for row in rows]
    widths = [
        int(width.lstrip("-")) if width.lstrip("-") else WIDTHS.get(name.lower(), 10) for name, _, width in columns
    ]
    shown = (
        delimiter.strip("'\"").join(line)
        if delimiter
        else " ".join(f"{tail(word, width):<{width}}" for word, width in zip(line, widths, strict=True))
        for line in lines
    )
    return Reply("".join(f"{line}\n" for line in shown), "".join(f"{error}\n" for error in errors), code)


FIELDS: dict[str, Callable[[System, Job], str]] = {
    "jobid": lambda system, job: str(job.id),
    "id": lambda system, job: str(job.id),
    "jobindex": lambda system, job: str(job.index),
    "stat": shown_state,
    "user": lambda system, job: job.request.user,
    "queue": lambda system, job: job.request.queue,
    "job_name": lambda system, job: job.name,
    "name": lambda system, job: job.name,
    "job_group": lambda system, job: job.request.group,
    "proj_name": lambda system, job: job.request.project,
    "from_host": lambda system, job: system.host_name,
    "exec_host": lambda system, job: "" if job.state in PENDING else counted_hosts(job),
    "first_host": lambda system, job: next(iter(job.allocation), ""),
    "nexec_host": lambda system, job: str(len(job.allocation)),
    "nalloc_slot": lambda system, job: str(sum(job.allocation.values())),
    "slots": lambda system, job: str(sum(job.allocation.values())),
    "esstart_time": lambda system, job: expected_start(system, job),
    "submit_time": lambda system, job: moment(job.submitted),
    "start_time": lambda system, job: moment(job.started),
    "finish_time": lambda system, job: moment(job.ended),
    "run_time": lambda system, job: run_time(job),
    "cpu_used": lambda system, job: f"{job.cpu or 0:.1f} second(s)",
    "exit_code": exit_code,
    "exit_reason": exit_reason,
    "kill_reason": lambda system, job: exit_reason(system, job).partition(":")[0],
    "suspend_reason": lambda system, job: "Preempted" if job.is_preempted else "",
    "pend_reason": lambda system, job: " ".join(pending_reasons(job)) if job.state in PENDING else "",
    "command": lambda system, job: job.request.shown_command,
    "sub_cwd": lambda system, job: job.request.cwd,
    "exec_cwd": lambda system, job: job.request.cwd if job.started else "",
    "output_file": lambda system, job: job.request.output or "",
    "error_file": lambda system, job: job.request.error or "",
    "input_file": lambda system, job: job.request.input or "",
    "dependency": lambda system, job: job.request.dependency or "",
    "pids": lambda system, job: str(job.pid or ""),
    "mem": lambda system, job: "",
    "max_mem": lambda system, job: "",
    "avg_mem": lambda system, job: "",
    "swap": lambda system, job: "",
    "memlimit": lambda system, job: f"{job.request.memory_limit // 1024} K" if job.request.memory_limit else "",
    "runtimelimit": lambda system, job: f"{limit / 60:.1f}" if (limit := system.run_limit(job)) else "",
    "gpu_num": lambda system, job: str(len(job.gpus)),
    "gpu_alloc": lambda system, job: " ".join(map(str, job.gpus)),
    "effective_resreq": lambda system, job: job.request.resources.text,
    "combined_resreq": lambda system, job: job.request.resources.text,
    "priority": lambda system, job: "",
    "job_description": lambda system, job: "",
}
WIDTHS = {"jobid": 7, "jobindex": 8, "stat": 5, "user": 7, "submit_time": 12, "start_time": 12, "finish_time": 14}
