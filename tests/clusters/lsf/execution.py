"""Jobs as processes: how they start, how they are signalled, what they leave.

As LSF does it, a job is a shell that runs what the user gave, and takes the place of the signals that its child dies
of: a job that INT ends has the exit code 130, and one that KILL ends is ended by signal 9.
"""

from __future__ import annotations

import os
import shlex
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusters.lsf.jobs import REASONS, Job

WRAPPER = """\
cd -- {cwd} 2>/dev/null || cd /tmp
LSB_JOBPID=$$ LS_JOBPID=$$; export LSB_JOBPID LS_JOBPID
trap : 1 2 10 12 15
{command}
exit $?
"""
DEFAULT_SIGNALS = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]
LSF_VARIABLES = ("LSB_", "LS_JOBPID", "LS_SUBCWD", "LSF_JOB", "CUDA_VISIBLE_DEVICES")
PARENT, GROUP, SESSION, RESIDENT = 1, 2, 3, 21
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Spool:
    """Where what a job prints lies until it has ended."""

    folder: Path
    job: Job

    @property
    def output(self) -> Path:
        return self._file("out")

    @property
    def error(self) -> Path:
        return self._file("err") if self.job.request.error else self.output

    def script(self, name: str) -> Path:
        return self._file(name)

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.job.id}.{self.job.index}.{int(self.job.submitted * 1000)}.{kind}"


def start(job: Job, folder: Path, lsf: dict[str, str]) -> int:
    """The process id of the job, which has just been given its hosts."""
    spool = Spool(folder / "spool", job)
    script = spool.script("sh")
    script.write_text(job.request.command + "\n")
    script.chmod(0o755)
    wrapper = spool.script("wrap")
    how = str(script) if job.request.command.startswith("#!") else f"/bin/sh {script}"
    wrapper.write_text(WRAPPER.format(cwd=shlex.quote(job.request.cwd), command=how))
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", os.fspath(wrapper)],
        environment(job, folder, script, lsf),
        file_actions=files(job, spool),
        setsid=True,
        setsigdef=DEFAULT_SIGNALS,
        setsigmask=[],
    )


def files(job: Job, spool: Spool) -> list[tuple[int, int, str, int, int]]:
    """Standard input, output and error of a job."""
    request = job.request
    direct = request.direct_output and not request.interactive
    output = spool.output if not (direct and request.output) else Path(job.expand(request.output or ""))
    error = spool.error if not (direct and request.error) else Path(job.expand(request.error or ""))
    error = error if request.error else output
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    names = (os.fspath(output), os.fspath(error))
    into = [name if os.access(Path(name).parent, os.W_OK) else os.devnull for name in names]
    source = job.expand(request.input) if request.input else os.devnull
    return [
        (os.POSIX_SPAWN_OPEN, 0, source if os.access(source, os.R_OK) else os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, into[0], flags, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, into[1], flags, 0o644),
    ]


def environment(job: Job, folder: Path, script: Path, lsf: dict[str, str]) -> dict[str, str]:
    """That of the submission, and what LSF says of the job."""
    request = job.request
    array = request.array
    ours = {
        "LSB_JOBID": str(job.id),
        "LSB_JOBINDEX": str(job.index),
        "LSB_JOBINDEX_END": str(array.indices[-1] if array else 0),
        "LSB_JOBINDEX_STEP": str(array.step if array else 0),
        "LSB_BATCH_JID": job.label,
        "LSB_JOBNAME": job.name,
        "LSB_QUEUE": request.queue,
        "LSB_HOSTS": " ".join(job.exec_hosts),
        "LSB_MCPU_HOSTS": " ".join(f"{host} {slots}" for host, slots in job.allocation.items()),
        "LSB_DJOB_NUMPROC": str(sum(job.allocation.values())),
        "LSB_SUBCWD": request.cwd,
        "LS_SUBCWD": request.cwd,
        "LSB_JOBFILENAME": os.fspath(script.with_suffix("")),
        "LSB_JOB_EXECUSER": request.user,
        "LSB_EXIT_PRE_ABORT": "99",
        "LSFUSER": request.user,
        **lsf,
    }
    if request.output:
        ours["LSB_OUTPUTFILE"] = job.expand(request.output)
    if request.error:
        ours["LSB_ERRORFILE"] = job.expand(request.error)
    if job.runs > 1:
        ours["LSB_RESTART"] = "Y"
    if job.gpus and request.resources.gpus_are_told:
        ours["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.gpus))
    inherited = {
        name: value
        for name, value in request.environment.items()
        if not name.startswith("LSB_") or name in {"LSB_STDOUT_DIRECT", "LSB_NTRIES", "LSB_DEFAULTQUEUE"}
    }
    return inherited | ours


# Processes


@dataclass(frozen=True)
class Process:
    """What /proc says of a process."""

    pid: int
    parent: int
    group: int
    session: int
    memory: int


def processes() -> list[Process]:
    """Those of this machine."""
    entries = os.listdir("/proc")  # noqa: PTH208 - ten times as fast, and this is asked often
    found = (read_process(int(entry)) for entry in entries if entry.isdigit())
    return [process for process in found if process is not None]


def read_process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = text.rpartition(")")[2].split()
    numbers = (int(words[place]) for place in (PARENT, GROUP, SESSION))
    return Process(pid, *numbers, int(words[RESIDENT]) * PAGE)


def family(pid: int) -> list[Process]:
    """What a job's shell started, and itself."""
    everything = processes()
    members = {process.pid for process in everything if process.session == pid or process.pid == pid}
    while more := {one.pid for one in everything if one.parent in members} - members:
        members |= more
    return [process for process in everything if process.pid in members]


def send(pid: int, number: int) -> None:
    """Signal all process groups of a job."""
    for group in {process.group for process in family(pid)}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def strays(folder: Path) -> list[int]:
    """Processes that jobs of this cluster left behind, told by their environment."""
    marks = (f"LSF_ENVDIR={folder}/conf".encode(), b"LSB_JOBID=")
    found = []
    for process in processes():
        with suppress(OSError):
            variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if marks[0] in variables and any(variable.startswith(marks[1]) for variable in variables):
                found.append(process.pid)
    return found


# Output


def deliver(job: Job, folder: Path, from_host: str, tells_reasons: bool) -> None:
    """Append what a job printed, and LSF's report on it, to the files that it was submitted with."""
    request, spool = job.request, Spool(folder / "spool", job)
    if request.interactive:
        return
    direct = request.direct_output
    if request.output:
        text = "" if direct else read(spool.output)
        append(job.expand(request.output), report(job, from_host, text, tells_reasons), request.output_overwrites)
    if request.error and not direct:
        append(job.expand(request.error), read(spool.error), request.error_overwrites)
    for file in {spool.output, spool.error, spool.script("wrap")}:
        if not request.wait:
            file.unlink(missing_ok=True)


def read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def append(path: str, text: str, overwrite: bool) -> None:
    """LSF sends by mail what it cannot write; nobody reads it here."""
    with suppress(OSError), Path(path).open("w" if overwrite else "a", errors="replace") as file:
        file.write(text)


def report(job: Job, from_host: str, output: str, tells_reasons: bool) -> str:
    """What LSF writes round a job's output."""
    request, (host, *_) = job.request, [*job.exec_hosts, from_host]
    word = "Done" if job.succeeded else "Exited"
    cluster = f"by user <{request.user}> in cluster <fake>"
    started, queue = f"executed on host(s) <{host}>", f"in queue <{request.queue}>"
    stamps = [time.ctime(when) for when in (job.submitted, job.started or job.submitted, job.ended or time.time())]
    return f"""Sender: LSF System <lsfadmin@{host}>
Subject: Job {job.label}: <{job.name}> in cluster <fake> {word}

Job <{job.name}> was submitted from host <{from_host}> {cluster} at {stamps[0]}
Job was {started}, {queue}, as user <{request.user}> in cluster <fake> at {stamps[1]}
<{request.environment.get("HOME", "/")}> was used as the home directory.
<{request.cwd}> was used as the working directory.
Started at {stamps[1]}
Terminated at {stamps[2]}
Results reported at {stamps[2]}

Your job looked like:

------------------------------------------------------------
# LSBATCH: User input
{request.command.rstrip()}
------------------------------------------------------------

{outcome(job, tells_reasons)}

Resource usage summary:

    CPU time :                                   {job.cpu or 0.1:.2f} sec.

The output (if any) follows:

{output}
"""


def outcome(job: Job, tells_reasons: bool) -> str:
    if job.succeeded:
        return "Successfully completed."
    reason = f"{job.reason}: {REASONS[job.reason]}.\n" if job.reason and tells_reasons else ""
    return reason + ended_how(job)


def ended_how(job: Job) -> str:
    """In LSF's words."""
    if job.cpu is None or not (job.exit_signal or job.exit_code):
        return "Exited."
    return f"Exited by signal {job.exit_signal}." if job.exit_signal else f"Exited with exit code {job.exit_code}."


def completed(job: Job) -> str:
    """Why it ended, where LSF tells."""
    return f"Completed <exit>; {job.reason}: {REASONS.get(job.reason or '', 'unknown')};"
