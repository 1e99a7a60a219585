"""A worker that is frozen for so long that others take it for dead, and comes back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from killed_processes import count_events, job_processes, worker_processes
from toyproject import Toy, wait_until

from seedfold.orchestrator.ledger.ledger import Ledger

SILENT_S = 1000.0


def _move_to_another_machine(study: Path, host: str) -> None:
    """Have all that was recorded say that it was recorded by another machine, a while ago."""
    files = [*study.rglob("claims/*/*"), *study.rglob("tasks/*"), *study.rglob("events/*")]
    files += [*study.rglob("submitted.json"), *study.rglob("intent.json")]
    for file in files:
        file.write_text(file.read_text().replace(f'"{host}"', f'"{"x" * len(host)}"'))
        moment = time.time() - SILENT_S
        os.utime(file, (moment, moment))


@pytest.mark.slow
def test_a_frozen_worker_that_comes_back_gives_up_what_others_have_begun(toy: Toy) -> None:
    toy.hold_jobs()
    toy.output_of("launch", "--detach", "--config-dir", "conf", "experiment=light", "seed=0", "fold=0")
    wait_until(toy.executions)
    study = toy.study("light")
    [job] = Ledger(study).plans.jobs
    frozen = [process.pid for process in (*worker_processes(study), *job_processes(study))]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        _move_to_another_machine(study.path, os.uname().nodename)
        assert toy.states("light") == {"lost": 1}
        toy.release_jobs()
        toy.output_of("resume", "light", "--wait")
        assert toy.states("light") == {"done": 1}
        # It would miss this folder when it comes back.
        assert (study.job_folder(job) / "staging.1").is_dir()
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not any(map(_is_running, frozen)))
    assert toy.states("light") == {"done": 1}
    assert [folder.name for folder in study.path.glob("store/*/*")] == [f"{job}.2"]
    assert (count_events(study, "done"), count_events(study, "failed")) == ({job: 1}, {})
    assert toy.executions() == {job: 2}


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
