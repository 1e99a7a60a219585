"""The fake's server: one process for all of LSF's daemons. Started by `clusters.lsf.cluster`.

python daemon.py FOLDER [--with PID]
"""

from __future__ import annotations

import asyncio
import marshal
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from clusters.lsf import control, history, listing, reports
from clusters.lsf.dependencies import matching
from clusters.lsf.jobs import PENDING, Job
from clusters.lsf.replies import Reply
from clusters.lsf.running import TICK
from clusters.lsf.settings import Settings
from clusters.lsf.submission import Refused, Usage, request, wants_script
from clusters.lsf.system import System

RETRIES = 6
NONSENSE = "<html><head><title>502 Bad Gateway</title></head></html>\nJOBID   USER    ST\n10\n"
BEFORE = "*** Maintenance on Sunday. Job <1> of class <batch> is not affected.\n"
WARNING = "Warning: the configuration of the cluster was changed an hour ago.\n"
AFTER = "Memory limit <4194304> KB applied. Project <default> has <1200> hours left.\n"
CONTROLS = ("bkill", "bstop", "bresume", "brequeue")
USAGE = """\
usage: bsub [-h] [-V] [-H] [-x] [-r] [-N] [-B] [-I | -K]
            [-q queue_name] [-m host_name[ host_name]...] [-n min_processors[,max_processors]]
            [-R res_req] [-J job_name_spec] [-b begin_time] [-t term_time]
            [-i in_file] [-o out_file] [-e err_file] [-L login_shell] [-g job_group_name]
            [-w depend_cond] [-W run_limit[/host_spec]] [-M mem_limit] [-P project_name]
            command [argument ...]
"""


@dataclass(frozen=True)
class Call:
    """A command as its client was called."""

    command: str
    arguments: list[str]
    environment: dict[str, str]
    cwd: str
    user: str
    nonce: str
    attempt: int


class Line:
    """To one client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def receive(self) -> Any:
        size = int.from_bytes(await self.reader.readexactly(8), "big")
        return marshal.loads(await self.reader.readexactly(size))

    async def send(self, word: str, value: object = None) -> None:
        data = marshal.dumps((word, value))
        self.writer.write(len(data).to_bytes(8, "big") + data)
        await self.writer.drain()

    async def reply(self, reply: Reply) -> None:
        if reply.out:
            await self.send("out", reply.out)
        if reply.err:
            await self.send("err", reply.err)
        await self.send("exit", reply.code)


class Server:
    """Answers LSF's commands, and those of tests, which begin with ``@``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings_file = folder / "settings.json"
        self.settings_seen = self.settings_file.stat().st_mtime_ns
        self.system = System(folder, Settings.read(self.settings_file))
        self.late: dict[str, tuple[Call, str]] = {}
        self.done_late: dict[str, Reply] = {}
        self.stopped = asyncio.Event()

    def look_at_settings(self) -> None:
        seen = self.settings_file.stat().st_mtime_ns
        if seen != self.settings_seen:
            self.settings_seen = seen
            self.system.reconfigure(Settings.read(self.settings_file))
        if self.late and not self.system.oddities.lasts("away"):
            waiting, self.late = self.late, {}
            for nonce, (call, script) in waiting.items():
                self.done_late[nonce] = self.submit(call, script)[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):  # the last: at the end
            values = await line.receive()
            self.look_at_settings()
            if values["command"].startswith("@"):
                await line.send("answer", self.control_tests(values["command"], values["arguments"]))
            else:
                await self.answer_or_tell(Call(**values), line)
        writer.close()

    # LSF's commands

    async def answer_or_tell(self, call: Call, line: Line) -> None:
        """A fault of the fake's is in the log and fails the test; the client must not take it for an outage."""
        try:
            await self.answer(call, line)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception:
            traceback.print_exc()
            await line.reply(Reply(err=f"the fake {call.command} has failed\n", code=70))

    async def answer(self, call: Call, line: Line) -> None:
        oddities = self.system.oddities
        await asyncio.sleep(oddities.seconds("slow", call.command))
        if oddities.concerns("hang", call.command):
            await line.reader.read()
        elif oddities.strikes("away"):
            await self.be_away(call, line)
        elif oddities.concerns("nonsense", call.command):
            await line.reply(Reply(NONSENSE))
        elif call.arguments[:1] == ["-V"]:
            await line.reply(Reply(err=reports.version(self.system) + "\n"))
        elif call.command == "bsub":
            await self.bsub(call, line)
        elif call.command == "bpeek":
            await self.bpeek(call, line)
        else:
            reply = self.plain(call)
            await line.reply(replace(reply, err=WARNING + reply.err) if oddities.strikes("noise") else reply)

    def plain(self, call: Call) -> Reply:
        """The answer of a command that asks once and is told at once."""
        if call.command == "bjobs" and self.system.oddities.strikes("unread"):
            return Reply(err="Failed in an LSF library call: Communication time out\n", code=255)
        self.system.reap()
        if call.command == "bmod":
            return control.modify(self.system, call.arguments, call.user)
        if call.command in CONTROLS:
            return control.control(call.command, self.system, call.arguments, call.user)
        queries = {"bjobs": listing.bjobs, "bhist": history.bhist}
        if call.command in queries:
            return queries[call.command](self.system, call.arguments, call.user)
        return reports.report(call.command, self.system, call.arguments)

    async def be_away(self, call: Call, line: Line) -> None:
        """The client hears nothing, but what it wanted to submit may have arrived."""
        if call.command == "bsub" and self.system.oddities.values.get("late_submissions"):
            with suppress(Usage):
                script = await self.script(call, line)
                self.late.setdefault(call.nonce, (call, script))
        await line.send("away")

    async def script(self, call: Call, line: Line) -> str:
        """What bsub reads from standard input."""
        if not wants_script(call.arguments, self.system.settings.classic):
            return ""
        await line.send("stdin")
        return str(await line.receive())

    async def bsub(self, call: Call, line: Line) -> None:
        if call.nonce in self.done_late:
            return await line.reply(self.done_late.pop(call.nonce))
        try:
            script = await self.script(call, line)
        except Usage as fault:
            return await line.reply(Reply(err=f"{fault}\n{USAGE}", code=255))
        await self.wait_for_room(call, line)
        reply, jobs = self.submit(call, script)
        if jobs and self.system.oddities.strikes("hung_reply"):
            await line.reader.read()
        elif jobs and self.system.oddities.strikes("lost_reply"):
            text = "Failed in an LSF library call: Communication time out. Job not submitted.\n"
            await line.reply(Reply(err=text, code=255))
        elif jobs and (jobs[0].request.wait or jobs[0].request.interactive):
            await self.attend(jobs[0], reply, line)
        else:
            await line.reply(reply)

    async def wait_for_room(self, call: Call, line: Line) -> None:
        """At the limit of pending jobs bsub tries again and again."""
        for _ in range(int(call.environment.get("LSB_NTRIES") or RETRIES) - 1):
            if not self.is_full(call.user):
                return
            await line.send("err", f"User <{call.user}>: Pending job threshold reached. Retrying in 60 seconds...\n")
            await asyncio.sleep(self.system.settings.scaled(60))

    def is_full(self, user: str) -> bool:
        limit = self.system.settings.max_pending
        return limit is not None and self.system.pending_of(user) >= limit

    def submit(self, call: Call, script: str) -> tuple[Reply, list[Job]]:
        try:
            wanted = request(call.arguments, script, call.environment, call.cwd, call.user, self.system.settings)
            if self.is_full(call.user):
                raise Refused(f"User <{call.user}>: Pending job threshold reached")
            jobs = self.system.submit(wanted)
        except Usage as fault:
            return Reply(err=f"{fault}\n{USAGE}", code=255), []
        except Refused as fault:
            return Reply(err=f"{fault}. Job not submitted.\n", code=255), []
        return self.submitted(call, jobs[0]), jobs

    def submitted(self, call: Call, job: Job) -> Reply:
        """What bsub says of a job that it has handed over."""
        if "BSUB_QUIET" in call.environment:
            return Reply()
        kind = "queue" if job.request.queue_was_named else "default queue"
        text = f"Job <{job.id}> is submitted to {kind} <{job.request.queue}>.\n"
        if "BSUB_STDERR" in call.environment:
            return Reply(err=text)
        return Reply(BEFORE + text + AFTER if self.system.oddities.strikes("noise") else text)

    async def attend(self, job: Job, reply: Reply, line: Line) -> None:
        """``-I`` and ``-K``: stay until the job has ended, with its exit code."""
        await line.send("out", reply.out)
        await line.send("err", "<<Waiting for dispatch ...>>\n")
        while job.state in PENDING:
            await asyncio.sleep(0.02)
        if job.request.interactive:
            await line.send("err", f"<<Starting on {next(iter(job.allocation), '')}>>\n")
            await self.follow(job, 0, line)
        while not job.finished:
            await asyncio.sleep(0.02)
        if job.request.wait:
            await line.send("err", "<<Job is finished>>\n")
        await line.send("exit", 128 + job.exit_signal if job.exit_signal else job.exit_code or 0)

    async def bpeek(self, call: Call, line: Line) -> None:
        job, reply, goes_on = control.peeked(self.system, call.arguments, call.user)
        if job is None or not goes_on:
            return await line.reply(reply)
        await line.send("out", reply.out)
        await self.follow(job, len(control.so_far(self.system, job)), line)
        await line.send("exit", 0)

    async def follow(self, job: Job, told: int, line: Line) -> None:
        """Print what a job prints until it has ended."""
        ends = False
        while not ends:
            ends = job.pid is None
            output = control.so_far(self.system, job)
            if len(output) > told:
                await line.send("out", output[told:])
                told = len(output)
            await asyncio.sleep(0.02)

    # What tests ask for

    def control_tests(self, command: str, arguments: list[str]) -> object:
        deeds: dict[str, Callable[..., object]] = {
            "@ready": lambda: True,
            "@states": self.states,
            "@known": lambda: [job.id for job in self.system.history],
            "@down": lambda host: self.system.host_down(host, crashed=False),
            "@crash": lambda host: self.system.host_down(host, crashed=True),
            "@up": self.system.host_up,
            "@show": self.show,
            "@stop": self.stopped.set,
        }
        self.system.reap()
        return deeds[command](*arguments)

    def states(self, spec: str = "") -> dict[str, str]:
        """As they are, whatever bjobs says."""
        jobs = self.system.jobs if not spec else matching(self.system.jobs, spec)
        return {job.label: job.state for job in jobs}

    def show(self, spec: str, state: str) -> None:
        for job in self.system.find(spec):
            job.shown_as = state or None

    async def run(self, owner: int | None) -> None:
        """Until told to stop, or the folder or the owner is gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopped.set)
        loop.add_signal_handler(signal.SIGCHLD, self.system.reap)
        # Many jobs may end at once; that they are not all told one by one does no harm.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
        loop.set_exception_handler(tell_faults)
        server = await asyncio.start_unix_server(self.serve, "\0" + (self.folder / "address").read_text())
        while not self.stopped.is_set() and self.settings_file.exists() and is_alive(owner):
            self.look_at_settings()
            self.system.tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopped.wait(), TICK)
        self.system.shut_down()
        server.close()


def tell_faults(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A call that comes in with the end is cancelled before anybody serves it, which is no fault."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def is_alive(owner: int | None) -> bool:
    """Whether the process is there, if it is one's at all."""
    return owner is None or Path(f"/proc/{owner}").exists()


def main(folder: str, *owner: str) -> None:
    asyncio.run(Server(Path(folder)).run(int(owner[1]) if owner else None))


if __name__ == "__main__":
    main(*sys.argv[1:])
