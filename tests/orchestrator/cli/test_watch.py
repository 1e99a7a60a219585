"""What `status` and `watch` show on a terminal, and the keys of `watch`."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from toyproject import SEEDFOLD, WAIT_S, Toy, make_toy, wait_until

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.times_text import start_text
from seedfold.orchestrator.cli.running_rows import running_rows
from seedfold.orchestrator.cli.stage_bars import stage_lines
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.running_jobs import RunningJob
from seedfold.orchestrator.state.stage_progress import StageProgress

_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")


def make_stage(name: str, **counts: int) -> StageProgress:
    return StageProgress(name, {**dict.fromkeys(STATES, 0), **counts}, 720.0, 1200.0)


def test_a_stage_is_a_line_where_there_is_room_and_two_elsewhere() -> None:
    stages = [make_stage("fit", done=120, running=8, submitted=170, failed=2), make_stage("sum", waiting=30)]
    broad = [line.text for line in stage_lines(stages, 110)]
    assert broad == [
        "fit █████████▚▒░░░░░░░░░░░░░ 120 of 300  170 submitted, 8 running, 2 failed; 12 min, about 20 min left",
        "sum ░░░░░░░░░░░░░░░░░░░░░░░░    0 of 30  30 waiting; 12 min, about 20 min left",
    ]
    narrow = [line.text for line in stage_lines(stages, 60)]
    assert all(len(text) <= 60 for text in narrow)
    assert [text for text in narrow if "of" in text] == [
        text[: len("fit ") + 24 + len(" 120 of 300")] for text in broad
    ]
    assert "170 submitted, 8 running, 2 failed; 12 min, about 20 min left" in " ".join(" ".join(narrow).split())


def test_every_kind_of_state_has_a_place_in_the_bar() -> None:
    (line,) = stage_lines([make_stage("fit", done=100_000, failed=1, running=1)], 100)
    assert "█▚▒" in line.text


def make_running(seed: int, **told: object) -> RunningJob:
    axes = {"seed": seed, "optimizer.learning_rate": 0.1, "task": "same"}
    job = JobDescription(f"{seed:064x}", "s", "fit", axes, {}, (), Resources(), "toy")
    return RunningJob(job, "node12.example.org", 10.0, **told)  # type: ignore[arg-type]


def test_a_running_job_is_a_row_where_there_is_room_and_two_lines_elsewhere() -> None:
    told = {"epoch": 4, "epochs": 10, "metric": "val_loss", "value": 0.31234, "previous": 0.5, "gpus": ("1",)}
    running = [make_running(3, **told), make_running(10)]
    axes = {"seed", "optimizer.learning_rate"}
    assert running_rows(running, 100, axes, with_stage=True) == [
        ["  fit seed=3 learning_rate=0.1   4 of 10  val_loss 0.3123 ↓  node12 GPU 1"],
        ["  fit seed=10 learning_rate=0.1                              node12"],
    ]
    assert running_rows(running, 60, axes, with_stage=False) == [
        ["  seed=3 learning_rate=0.1", "    4 of 10, val_loss 0.3123 ↓, node12 GPU 1"],
        ["  seed=10 learning_rate=0.1", "    node12"],
    ]


@pytest.mark.parametrize(
    ("ahead", "said"),
    [(timedelta(hours=2), "starts in about 2 h (14:00)"), (timedelta(minutes=-1), "is due to start")],
)
def test_an_expected_start_is_said_as_people_do(ahead: timedelta, said: str) -> None:
    now = datetime(2026, 11, 29, 12, 0)
    for form in ("%Y-%m-%dT%H:%M:%S", "%b %d %H:%M", "%b %d %H:%M:%S %Y"):
        assert start_text((now + ahead).strftime(form), now) == said
    assert start_text("Jan  2 06:15", now) == "starts in about 34 days (Sat 2 Jan 06:15)"
    assert start_text("soon", now) == "is expected to start soon"


class Terminal:
    """A terminal of 24 lines of 60 characters, with a program that writes to it."""

    def __init__(self, own: int, other: int) -> None:
        self.own, self.other = own, other
        self.text = ""

    def type(self, keys: str) -> None:
        os.write(self.own, keys.encode())

    def read(self) -> str:
        """What the program has written, without moves of the cursor and colours."""
        os.set_blocking(self.own, False)
        try:
            while chunk := os.read(self.own, 65536):
                self.text += chunk.decode(errors="replace")
        except OSError:
            pass
        return _CONTROL.sub("", self.text)

    def wait_for(self, text: str) -> None:
        """Wait for a text, and forget what was written before the end of it."""
        wait_until(lambda: text in self.read(), describe=self.read)
        self.text = self.read().partition(text)[2]

    def edits_lines(self) -> bool:
        """Whether the modes are those of a shell: lines are edited, and what is typed is shown."""
        return all(termios.tcgetattr(self.other)[3] & mode for mode in (termios.ICANON, termios.ECHO))


@contextmanager
def open_terminal() -> Iterator[Terminal]:
    own, other = pty.openpty()
    termios.tcsetwinsize(other, (24, 60))
    try:
        yield Terminal(own, other)
    finally:
        os.close(own)
        os.close(other)


def start_on(terminal: Terminal, words: list[str], **more: object) -> subprocess.Popen[bytes]:
    """Start a program whose terminal this is, and in which Ctrl-C and Ctrl-Z reach it."""
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.other)

    def take_terminal() -> None:
        import fcntl

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGINT, signal.SIGTSTP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(words, preexec_fn=take_terminal, **ends, **more)  # type: ignore[call-overload, no-any-return]


LIVE = """
import sys
from seedfold.orchestrator.cli.console import make_lines
from seedfold.orchestrator.cli.live_terminal import LiveTerminal
with LiveTerminal() as terminal:
    terminal.show(make_lines("here it is"))
    while True:
        key = terminal.read_key(300)
        assert key == "down", key
        terminal.show(make_lines("went down"))
"""
ENDS: dict[str, Callable[[Terminal, subprocess.Popen[bytes]], None]] = {
    "an error": lambda terminal, program: terminal.type("x"),
    "Ctrl-C": lambda terminal, program: terminal.type("\x03"),
    "SIGTERM": lambda terminal, program: program.terminate(),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_terminal_is_as_before_whatever_ends_the_display(end: str) -> None:
    with open_terminal() as terminal:
        program = start_on(terminal, [sys.executable, "-c", LIVE], env={**os.environ, "TERM": "xterm"})
        terminal.wait_for("here it is")
        assert not terminal.edits_lines()
        terminal.type("\x1b[B")
        terminal.wait_for("went down")
        ENDS[end](terminal, program)
        assert program.wait(WAIT_S) != 0
        assert terminal.edits_lines()
        # The cursor, and what was on the screen before, are back.
        terminal.read()
        assert terminal.text.rindex("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")
        assert "\x1b[?1049l" in terminal.text


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    """The study light, of which jobs run and others wait for slots."""
    toy = make_toy(tmp_path_factory.mktemp("held"))
    toy.hold_jobs()
    toy.launch("--detach", "cluster.slots=2", experiment="light")
    wait_until(lambda: toy.states("light").get("running") == 2, pause_s=0.3)
    yield toy
    toy.release_jobs()
    toy.kill_workers()


@pytest.mark.slow
def test_watch_is_stopped_goes_on_filters_and_cancels(held: Toy) -> None:
    script = f"set -m; '{SEEDFOLD}' watch light; stty -a; echo STOPPED; read line; fg; stty -a; echo ENDED"
    with open_terminal() as terminal:
        environment = {key: value for key, value in held.environment.items() if key not in ("COLUMNS", "LINES")}
        program = start_on(
            terminal, ["bash", "-c", script], cwd=held.folder, env={**environment, "TERM": "xterm", "LANG": "C.UTF-8"}
        )
        terminal.wait_for("light: 6 jobs, 4 submitted, 2 running")
        terminal.wait_for("q\u00a0quit")
        terminal.type("\x1a")
        terminal.wait_for("STOPPED")
        assert terminal.edits_lines()
        terminal.type("\n")
        terminal.wait_for("q\u00a0quit")
        terminal.type("/sede=1\r")
        terminal.wait_for("sede: no such axis")
        terminal.type("/seed=1\r")
        terminal.wait_for("light: 3 jobs,")
        terminal.type("C")
        terminal.wait_for("cancel the 3 jobs that are not done (0 running)? y")
        terminal.type("n/" + 6 * "\x7f" + "\r")
        terminal.wait_for("light: 6 jobs,")
        terminal.type("Cy")
        terminal.wait_for("ENDED")
        assert terminal.edits_lines()
        assert program.wait(WAIT_S) == 0
    wait_until(lambda: held.states("light") == {"cancelled": 6}, pause_s=0.3)


@pytest.mark.slow
def test_a_launch_on_a_terminal_shows_bars_and_ends_in_the_table(tmp_path: Path) -> None:
    toy = make_toy(tmp_path)
    environment = {key: value for key, value in toy.environment.items() if key not in ("COLUMNS", "LINES")}
    words = [str(SEEDFOLD), "launch", "-cd", "conf", "experiment=toy", "seed=0,1", "fold=0", "sleep_s=1.5"]
    with open_terminal() as terminal:
        program = start_on(terminal, words, cwd=toy.folder, env={**environment, "TERM": "xterm", "LANG": "C.UTF-8"})
        terminal.wait_for("train ▒")
        terminal.wait_for("toy: 2 done; ")
        terminal.wait_for("accuracy")
        terminal.wait_for("val")
        assert program.wait(WAIT_S) == 0
