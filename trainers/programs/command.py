"""The job of a command: it runs a program in any language, passes signals on, and reads the metrics that it leaves.

The program runs in the folder of the launch, with its script from the snapshot of the code where there is one. Its
output goes to the log of the job. SEEDFOLD_FOLDER is the folder for its files, and SEEDFOLD_CHECKPOINTS the one for
checkpoints: both are the same for all attempts of a job.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from seedfold.jobs.command import Command
from seedfold.jobs.work import OUTPUTS, ConfigFailure, ProgramFailure, RunInterrupted, Work
from seedfold.results.recording.current_run import CHECKPOINTS, CurrentRun, current
from seedfold.trainers.programs.command_metrics import LineMetrics, log_metrics_file
from seedfold.trainers.programs.lightning_hook import prepare_environment

_POLL_S = 0.5
_FOLDER_VARIABLE = re.compile(
    r"\$(SEEDFOLD_FOLDER|SEEDFOLD_CHECKPOINTS)\b|\$\{(SEEDFOLD_FOLDER|SEEDFOLD_CHECKPOINTS)\}"
)


class CommandFailedError(ProgramFailure):
    """The program ended with an error; the message has its exit code and the last line that it printed."""


def run(work: Work) -> None:
    """Run the command.

    Raises CommandFailedError if it fails, ConfigFailure if it cannot start, RunInterrupted if it was stopped.
    """
    command, this_run = Command.from_config(work.config), current()
    root = _find_code_root(command, work.launch_folder)
    variables = {"SEEDFOLD_FOLDER": str(this_run.folder), "SEEDFOLD_CHECKPOINTS": str(this_run.checkpoints)}
    words = [_FOLDER_VARIABLE.sub(lambda found: variables[found[1]], word) for word in _local_words(command, root)]
    environment = _make_environment(variables, root, work)
    lines = _LastLine(LineMetrics(command.metrics, this_run) if command.metrics else None)
    code = _run_process(words, environment, work, lines)
    if work.stop_requested():
        # Nobody can tell a program that ended because it was asked to from one that had just finished.
        raise RunInterrupted(f"asked to stop; the command ended with exit code {code}")
    if code == -signal.SIGKILL:
        # Who killed it, perhaps for its memory, is found out as for any other job: this is no kill by the program.
        signal.raise_signal(signal.SIGKILL)
    if code != 0:
        raise CommandFailedError(_describe_end(Path(command.script or words[0]).name, code, lines.text))
    if command.metrics and command.metrics.file:
        log_metrics_file(this_run, command.metrics, work.launch_folder)
    _keep_files(this_run, work)


def _find_code_root(command: Command, launch_folder: Path) -> Path:
    """Return the folder from which the script is run: that of the snapshot, which comes first on the import path."""
    if command.script is None or Path(command.script).is_absolute():
        return launch_folder
    for folder in (Path(sys.path[0]), launch_folder):
        if (folder / command.script).exists():
            return folder
    raise ConfigFailure(f"command: {command.script} does not exist in {launch_folder}")


def _local_words(command: Command, root: Path) -> list[str]:
    words = list(command.words)
    if command.script_place is not None:
        words[command.script_place] = str(root / words[command.script_place])
    if command.starts_python:
        words[0] = sys.executable
    return words


def _make_environment(variables: Mapping[str, str], root: Path, work: Work) -> dict[str, str]:
    threads = str(work.description.resources.cpus)
    python_path = [str(root), str(work.launch_folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, python_path))),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    prepare_environment(work.config, environment)
    return environment


class _LastLine:
    """Passes output on to the log of the job, and keeps the last line that is not empty."""

    def __init__(self, metrics: LineMetrics | None) -> None:
        self.text = ""
        self._metrics = metrics
        self.error: Exception | None = None

    def read_all(self, output: IO[bytes]) -> None:
        for line in output:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            text = line.decode(errors="replace").rstrip()
            self.text = text or self.text
            self._find_metrics(text)

    def _find_metrics(self, text: str) -> None:
        if self._metrics is not None and self.error is None:
            try:
                self._metrics.read_line(text)
            except Exception as error:
                # The program must not wait for a reader that is gone; the job fails when the program has ended.
                self.error = error


def _run_process(words: list[str], environment: Mapping[str, str], work: Work, lines: _LastLine) -> int:
    """Run the program to its end and return its exit code, negative for a signal."""
    try:
        process = subprocess.Popen(
            words,
            cwd=work.launch_folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise ConfigFailure(f"command: {words[0]} cannot be started: {error.strerror}") from error
    assert process.stdout is not None
    reader = threading.Thread(target=lines.read_all, args=(process.stdout,), daemon=True)
    reader.start()
    code = _wait(process, work.stop_requested)
    # A process that the program left in the background may hold the output open.
    reader.join(timeout=5)
    if lines.error is not None:
        raise lines.error
    return code


def _wait(process: subprocess.Popen[bytes], stop_requested: Callable[[], bool]) -> int:
    is_told = False
    while True:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if stop_requested() and not is_told:
                is_told = True
                # To all processes of the job: a shell passes no signal on. This process only takes note of it.
                os.killpg(0, signal.SIGTERM)


def _describe_end(name: str, code: int, last_line: str) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"{name} {how}: {last_line}" if last_line else f"{name} {how}, without a word"


def _keep_files(this_run: CurrentRun, work: Work) -> None:
    """Copy what the program left in its folder to the files for people; checkpoints stay where they are."""
    for path in sorted(this_run.folder.iterdir()):
        if path.name == CHECKPOINTS:
            continue
        target = work.staging / OUTPUTS / path.name
        target.parent.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
