"""The study on real data, through the real command: killed again and again, asked again, asked differently."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_server import training_command
from killed_processes import count_events, job_processes, kill_random_process, read_results
from toyproject import SEEDFOLD, wait_until

from seedfold.orchestrator.ledger.layout import Root, StudyFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ASKED = ("experiment=digits", "size=tiny", "trainer.max_epochs=4")
KILLS = 3
JOBS = 4


class Digits:
    """A root of its own, and the command."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
        self.environment = {**os.environ, **own}
        self.folder = folder

    @property
    def study(self) -> StudyFolder:
        return Root(self.folder / "runs").study_folder("digits")

    def start(self, *args: str, program: Path = SEEDFOLD) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [program, *args], cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True
        )

    def run(self, *args: str) -> tuple[int, str]:
        ended = self.start(*args, program=training_command())
        out, err = ended.communicate(timeout=600)
        return ended.returncode, out + err

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.run("status", "digits", "--json")[1])["states"]
        return {state: count for state, count in counts.items() if count}


def test_kills_change_no_result_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    undisturbed, killed = (Digits(tmp_path / name) for name in ("undisturbed", "killed"))
    code, printed = undisturbed.run("launch", "--wait", *ASKED)
    assert code == 0, printed
    _kill_again_and_again(killed)
    assert read_results(killed.study) == read_results(undisturbed.study)
    assert set(count_events(killed.study, "done").values()) == {1}
    _ask_again_and_for_more(undisturbed)


def _kill_again_and_again(digits: Digits) -> None:
    dice = random.Random(20)
    command = ("launch", "--wait", *ASKED)
    killed: list[str] = []
    while len(killed) < KILLS and (not killed or digits.states() != {"done": JOBS}):
        launcher = digits.start(*command)
        wait_until(lambda launcher=launcher: job_processes(digits.study) or launcher.poll() is not None)
        time.sleep(dice.uniform(0.0, 3.0))
        killed.append(kill_random_process(digits.study, launcher, dice))
        time.sleep(dice.uniform(0.0, 0.5))
        launcher.kill()
        launcher.communicate()
        if digits.study.is_planned:
            command = ("resume", "digits", "--wait")
    for _ in range(2):
        digits.run(*command)
    assert digits.states() == {"done": JOBS}, killed


def _ask_again_and_for_more(undisturbed: Digits) -> None:
    code, printed = undisturbed.run("launch", "--wait", *ASKED)
    assert code == 0
    assert "nothing to start" in printed
    plan: dict[str, Any] = json.loads(undisturbed.run("plan", *ASKED, "seed=0,1", "--json")[1])
    assert plan["stages"]["train"]["new"] == JOBS
    plan = json.loads(undisturbed.run("plan", *ASKED, "seed=0,1", "study=second", "--json")[1])
    assert (plan["stages"]["train"]["done"], plan["stages"]["train"]["new"]) == (JOBS, JOBS)
