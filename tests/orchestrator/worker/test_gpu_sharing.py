"""Jobs that share a GPU: what a worker finds out, and what it does if they do not fit after all."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toyproject import Toy

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.events import EventWriter, is_event
from seedfold.orchestrator.ledger.gpu_shares import GpuShare
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import Failure
from seedfold.orchestrator.worker import gpu_sharing
from seedfold.orchestrator.worker.gpu_sharing import GpuSharing
from seedfold.orchestrator.worker.nvml import GpuReading, Nvml
from seedfold.orchestrator.worker.running_attempt import RunningAttempt
from seedfold.orchestrator.worker.slots import Gpu, GpuPlaces, Machine

GB = 1024**3
OUT_OF_MEMORY = Failure("oom_gpu", "OutOfMemoryError: CUDA out of memory", "oom")


@dataclass
class OneGpu:
    """A GPU of 16 GB: each job takes ``job_bytes``, and keeps it busy for ``percent`` of the time."""

    job_bytes: int = 2 * GB
    percent: float | None = 20.0
    of_others: int = 0
    missing: str | None = None
    sessions: list[int] = field(default_factory=list)

    def why_not(self) -> str | None:
        return self.missing

    def read(self, gpu: str) -> GpuReading | None:
        if self.missing:
            return None
        used = self.of_others + self.job_bytes * len(self.sessions)
        percent = None if self.percent is None else min(100.0, self.percent * len(self.sessions))
        return GpuReading(16 * GB, used, percent, dict.fromkeys(self.sessions, self.job_bytes))


class Here:
    """A worker of this machine with one GPU: it starts jobs as long as there is a place for one."""

    def __init__(self, folder: Path, gpu: OneGpu, **cluster: Any) -> None:
        self.gpu, self.running = gpu, dict[str, RunningAttempt]()
        self.study = StudyFolder(folder / "study")
        settings = ClusterSettings.parse({"jobs_per_gpu": "auto", **cluster})
        self.machine = Machine(settings, [Gpu("0", 16 * GB)], self.study.path, cpus=32)
        self.ledger = Ledger(self.study, keeps=False)
        writer: Any = EventWriter(self.study.events_folder)
        self.sharing = GpuSharing(settings, self.machine, self.ledger, writer, "n1", gpu)
        self.number = 0

    def start(self, stage: str = "train", name: str = "") -> RunningAttempt | None:
        self.number += 1
        resources = Resources(gpus=1)
        name = name or f"{id(self)}.{self.number}"
        job = JobDescription(name, "study", stage, {}, {}, (), resources, "toy.run", name)
        slot = self.machine.acquire_slot(resources, len(self.running), self.sharing.places(job, self.running))
        if slot is None:
            return None
        one = self.running[job.id] = RunningAttempt(job, 1, slot, None, pid=1_000_000 + self.number)
        self.sharing.note_start(self.running)
        self.gpu.sessions.append(1_000_000 + self.number)
        return one

    def fill(self, stage: str = "train") -> int:
        while self.start(stage):
            pass
        return len(self.running)

    def look(self, times: int = 10) -> None:
        time.sleep(0.002)  # Of two findings of the same millisecond, the smaller counts.
        for _ in range(times):
            self.sharing.sample(self.running)

    def end(self, one: RunningAttempt) -> None:
        self.sharing.note_end(one, self.running)
        del self.running[one.job.id]
        assert one.pid is not None
        self.gpu.sessions.remove(one.pid)
        one.slot.release()

    def said(self) -> list[str]:
        self.ledger.refresh()
        return [share.to_text() for share in self.ledger.gpu_shares.of_stages()]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu_sharing, "SAMPLE_S", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("seedfold.orchestrator.worker.nvml._session_of", lambda process: process)


def test_a_gpu_takes_jobs_until_it_is_busy(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu())
    numbers = []
    for _ in range(5):
        numbers.append(here.fill())
        here.look()
    assert numbers == [1, 2, 4, 5, 5]
    assert here.said() == ["train: 5 jobs at a time on a GPU (one takes up to 2.0 GB of 16.0 GB, it was 80 % busy)"]


def test_a_gpu_takes_no_more_jobs_than_fit_beside_those_of_others(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu(job_bytes=3 * GB, percent=5.0, of_others=5 * GB))
    for _ in range(4):
        here.fill()
        here.look()
    assert len(here.running) == 3
    here.end(next(iter(here.running.values())))
    here.gpu.of_others += 3 * GB
    assert here.fill() == 2


def test_jobs_on_a_gpu_have_their_cpus(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu())
    here.machine.cpus = 3
    for _ in range(4):
        here.fill()
        here.look()
    assert len(here.running) == 3
    assert here.said()[0].endswith("no CPUs for more)")


def test_the_next_worker_begins_with_what_was_found(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu())
    for _ in range(3):
        here.fill()
        here.look()
    for one in list(here.running.values()):
        here.end(one)
    there = Here(tmp_path, OneGpu())
    assert there.fill() == 5
    # Of another stage nothing is known: its job is the only one at first.
    for one in list(there.running.values()):
        there.end(one)
    assert there.fill("test") == 1
    assert there.start("train") is None


def test_short_jobs_are_measured_when_they_end(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu())
    [one] = [here.start()]
    here.look(3)
    assert one is not None
    here.end(one)
    assert here.fill() == 2


@pytest.mark.parametrize(
    ("gpu", "says"),
    [
        (OneGpu(missing="nvidia-ml-py is not installed"), "1 job at a time on a GPU (nvidia-ml-py is not installed)"),
        (OneGpu(percent=None), "1 job at a time on a GPU (NVML does not say how busy GPU 0 is)"),
    ],
)
def test_where_nothing_is_measured_jobs_share_no_gpu(tmp_path: Path, gpu: OneGpu, says: str) -> None:
    here = Here(tmp_path, gpu)
    for _ in range(3):
        assert here.fill() == 1
        here.look()
    assert here.said() == [f"train: {says}"]
    [events] = here.study.events_folder.glob("*")
    assert len(events.read_text().splitlines()) == 1


def test_a_job_that_ran_out_of_memory_beside_others_is_tried_again_alone(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu())
    for _ in range(3):
        here.fill()
        here.look()
    first = here.start("train", "poor") or next(iter(here.running.values()))
    reason = here.sharing.blame_neighbours(first, OUT_OF_MEMORY)
    assert reason is not None
    assert "5 jobs shared the GPU; this one is tried again alone" in reason
    here.end(first)
    assert here.said() == [
        "train: 4 jobs at a time on a GPU (one takes up to 2.0 GB of 16.0 GB, 5 did not fit into its memory)"
    ]
    assert here.sharing.places(first.job, here.running) == GpuPlaces({"0": 0}, alone=True)
    here.look(20)
    assert "4 jobs" in here.said()[0]
    for one in list(here.running.values()):
        here.end(one)
    places = here.sharing.places(first.job, here.running)
    slot = here.machine.acquire_slot(first.job.resources, 0, places)
    assert slot is not None
    assert slot.gpus == ("0",)
    assert here.start() is None
    slot.release()
    assert here.start() is not None


def test_a_job_alone_is_to_blame_itself_and_so_is_one_with_another_failure(tmp_path: Path) -> None:
    here = Here(tmp_path, OneGpu(), jobs_per_gpu=2)
    one = here.start()
    assert one is not None
    assert here.sharing.blame_neighbours(one, OUT_OF_MEMORY) is None
    assert here.fill() == 2
    assert here.sharing.blame_neighbours(one, Failure("nan", "train/loss: nan", "nan")) is None
    assert here.sharing.blame_neighbours(one, OUT_OF_MEMORY) is not None
    assert not here.study.events_folder.exists()


def test_nvml_lists_processes_that_compute_through_mps_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    class NvmlError(Exception):
        pass

    def utilization(*handle: object) -> None:
        raise NvmlError

    process = SimpleNamespace
    nvml = SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=9, used=5),
        nvmlDeviceGetUtilizationRates=utilization,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [process(pid=7, usedGpuMemory=None)],
        nvmlDeviceGetMPSComputeRunningProcesses=lambda handle: [process(pid=7, usedGpuMemory=3)],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    reading = Nvml().read("0")
    assert reading == GpuReading(9, 5, None, {7: 3})
    assert reading.bytes_of_session(7) == 3
    nvml.nvmlInit = utilization
    assert Nvml().why_not() == "NVML cannot be used: "
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvml().why_not() == "nvidia-ml-py is not installed"
    assert Nvml().read("0") is None


@pytest.mark.parametrize("change", [{"number": 0}, {"number": "2"}, {"percent": 101}, {"most": 0}, {"stage": None}])
def test_a_finding_that_cannot_be_is_no_event(change: dict[str, Any]) -> None:
    event = {"e": "gpu_share", "t": 1.0, "jobs": {}, **GpuShare("train", 1, 2, 1).to_details()}
    assert is_event(event)
    assert not is_event(event | change)


GREEDY = """
import time
from pathlib import Path


class OutOfMemoryError(RuntimeError):
    pass


def run(work):
    folder = Path(work.config["paths"]["data"], "gpu")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / work.description.id).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.05)
    if work.attempt == 1 and work.config["seed"] == 1:
        raise OutOfMemoryError("CUDA out of memory")
"""
STUDY = """# @package _global_
run: toy.greedy.run
study: greedy
matrix: {seed: "range(0,2)"}
resources: {gpus: 1, cpus: 1, memory: 1GB, time: 5min}
"""


@pytest.fixture
def gpu_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "0, GPU-a, 16000"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def test_jobs_that_do_not_fit_together_are_all_done_and_none_has_failed(toy: Toy, gpu_here: None) -> None:
    (toy.folder / "toy" / "greedy.py").write_text(GREEDY)
    toy.write_experiment("greedy", STUDY)
    path = os.environ["PATH"]
    launched = toy.run_in_process(
        *("launch", "--config-dir", "conf", "experiment=greedy", "--wait", "cluster.jobs_per_gpu=2"), PATH=path
    )
    assert launched.returncode == 0, launched.stdout + launched.stderr
    shown = [toy.json_of("show", "--study", "greedy", f"seed={seed}")["attempts"] for seed in (0, 1)]
    assert [[one["state"] for one in attempts] for attempts in shown] == [["done"], ["interrupted", "done"]]
    assert shown[1][0]["reason"].endswith("(2 jobs shared the GPU; this one is tried again alone)")
