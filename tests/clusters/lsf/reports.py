"""lsid, lshosts, bhosts, bqueues and bparams."""

from __future__ import annotations

from collections.abc import Sequence

from clusters.lsf.jobs import Job
from clusters.lsf.options import BadOption, getopt
from clusters.lsf.replies import Reply, refuse_usage
from clusters.lsf.settings import Queue
from clusters.lsf.system import System

VERSIONS = {
    "classic": "Platform LSF 7.0.6.134609, Apr 15 2010\nCopyright 1992-2009 Platform Computing Corporation",
    "lsf10": "IBM Spectrum LSF Standard 10.1.0.13, Apr 15 2022\n"
    "Copyright International Business Machines Corp. 1992, 2016.\n"
    "US Government Users Restricted Rights - Use, duplication or disclosure restricted by GSA ADP Schedule Contract"
    " with IBM Corp.",
}


def report(command: str, system: System, arguments: Sequence[str]) -> Reply:
    """What one of the commands that tell of the cluster prints."""
    try:
        flags, _, names = getopt(arguments, "VhlwraXe", "muRo")
    except BadOption as fault:
        return refuse_usage(command, fault, f"usage: {command} [-h] [-V] [-l | -w]\n")
    if command == "bqueues":
        return bqueues(system, names, "l" in flags)
    if command == "bhosts":
        return bhosts(system, names)
    return Reply({"lsid": lsid, "lshosts": lshosts, "bparams": bparams}[command](system, flags))


def version(system: System) -> str:
    return VERSIONS[system.settings.dialect]


def lsid(system: System, flags: set[str]) -> str:
    first = next(iter(system.settings.hosts))
    return f"{version(system)}\n\nMy cluster name is fake\nMy master name is {first}\n"


def lshosts(system: System, flags: set[str]) -> str:
    lines = ["HOST_NAME      type    model  cpuf ncpus maxmem maxswp server RESOURCES"]
    for name, host in system.settings.hosts.items():
        memory = f"{host.memory // 1024**2}M" if system.settings.classic else f"{host.memory / 1024**3:g}G"
        lines.append(f"{name:<11} X86_64   X86_64  60.0 {host.slots:>5} {memory:>6} {'8G':>6}    Yes (mg)")
    return "\n".join(lines) + "\n"


def bparams(system: System, flags: set[str]) -> str:
    settings = system.settings
    short = (
        f"Default Queues:  {settings.default_queue}\n"
        "Job Dispatch Interval:  1 seconds\n"
        "Job Checking Interval:  1 seconds\n"
        "Job Accepting Interval:  0 seconds\n"
    )
    if not flags & {"l", "a"}:
        return short
    values = {
        "System default queues for automatic queue selection": ("DEFAULT_QUEUE", settings.default_queue),
        "The amount of time during which finished jobs are kept in core": (
            "CLEAN_PERIOD",
            f"{int(settings.clean_period)} (seconds)",
        ),
        "The interval to terminate a job": ("JOB_TERMINATE_INTERVAL", f"{int(settings.terminate_interval)} "),
        "The maximum number of jobs in a job array": ("MAX_JOB_ARRAY_SIZE", str(settings.max_job_array_size)),
        "The Maximum JobId defined in the system": ("MAX_JOBID", str(settings.max_id)),
    }
    if settings.max_pending is not None:
        values["System wide max pending jobs"] = ("MAX_PEND_JOBS", str(settings.max_pending))
    if "a" in flags:
        return "".join(f"        {name} = {value}\n" for name, value in values.values())
    return "\n" + "".join(f"{text}:\n    {name} = {value}\n\n" for text, (name, value) in values.items())


def bhosts(system: System, names: Sequence[str]) -> Reply:
    if bad := [name for name in names if name not in system.settings.hosts]:
        return Reply(err=f"{bad[0]}: Bad host name, host group name or cluster name\n", code=255)
    lines = ["HOST_NAME          STATUS       JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV "]
    for name in names or system.settings.hosts:
        jobs = [job for job in system.jobs if name in job.allocation and not job.finished]
        states = [
            sum(job.allocation[name] for job in jobs if job.state == state) for state in ("RUN", "SSUSP", "USUSP")
        ]
        status = "ok" if system.free_slots(name) > 0 else "closed"
        status = {True: "unavail", False: "unreach"}.get(system.down.get(name), status)
        total = sum(job.allocation[name] for job in jobs)
        numbers = " ".join(f"{number:>6}" for number in (system.settings.hosts[name].slots, total, *states, 0))
        lines.append(f"{name:<18} {status:<14} - {numbers}")
    return Reply("\n".join(lines) + "\n")


def bqueues(system: System, names: Sequence[str], long: bool) -> Reply:
    known = system.settings.queues
    err = "".join(f"{name}: No such queue\n" for name in names if name not in known)
    wanted = [name for name in (names or known) if name in known]
    code = 255 if err else 0
    if long:
        rule = "-" * 78 + "\n"
        return Reply(rule.join(queue_entry(system, name, known[name]) for name in wanted), err, code)
    lines = ["QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP "] if wanted else []
    lines += [queue_row(system, name, known[name]) for name in wanted]
    return Reply("".join(f"{line}\n" for line in lines), err, code)


def queue_row(system: System, name: str, queue: Queue) -> str:
    status = "Open:Active" if queue.is_open else "Closed:Active"
    limits = " ".join(f"{dash(limit):>4}" for limit in (queue.max_slots, queue.max_slots_per_user, None, None))
    numbers = " ".join(f"{number:>5}" for number in counts(system, name))
    return f"{name:<15} {queue.priority:>3}  {status:<15}{limits} {numbers}"


def dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def counts(system: System, queue: str) -> tuple[int, int, int, int]:
    """Slots, as LSF counts them."""
    jobs = [job for job in system.jobs if job.request.queue == queue and not job.finished]

    def slots(*states: str) -> int:
        return sum(wanted_slots(job) for job in jobs if job.state in states)

    return (sum(map(wanted_slots, jobs)), slots("PEND", "PSUSP"), slots("RUN", "UNKWN"), slots("USUSP", "SSUSP"))


def wanted_slots(job: Job) -> int:
    return job.request.resources.slots


def queue_entry(system: System, name: str, queue: Queue) -> str:
    default = name == system.settings.default_queue
    status = "Open:Active" if queue.is_open else "Closed:Active"
    limits = " ".join(f"{dash(limit):>4}" for limit in (queue.max_slots, queue.max_slots_per_user, None, None))
    numbers = " ".join(f"{number:>5}" for number in counts(system, name))
    lines = [
        "",
        f"QUEUE: {name}",
        f"  -- {'This is the default queue.' if default else 'No description provided.'}",
        "",
        "PARAMETERS/STATISTICS",
        "PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV ",
        f"{queue.priority:>3}   20  {status:<14}{limits} {numbers}     0     0",
        "",
    ]
    if queue.run_limit is not None:
        lines += [" RUNLIMIT", f" {queue.run_limit:.1f} min of {system.host_name}", ""]
    lines += ["SCHEDULING PARAMETERS", "           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem"]
    lines += [" loadSched   -     -     -     -       -     -    -     -     -      -      -  ", ""]
    if queue.preempted:
        lines += ["SCHEDULING POLICIES:  PREEMPTABLE", ""]
    users = " ".join(queue.users) if queue.users is not None else "all"
    hosts = " ".join(queue.hosts) if queue.hosts is not None else "all"
    lines += [f"USERS:  {users}{' users' if users == 'all' else ''} ", f"HOSTS:  {hosts} "]
    if queue.requeue_exit_values:
        lines.append(f"REQUEUE_EXIT_VALUES:  {' '.join(map(str, queue.requeue_exit_values))} ")
    return "\n".join(lines) + "\n\n"
