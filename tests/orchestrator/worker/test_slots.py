from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import TaskArray
from seedfold.orchestrator.schedulers.scheduled_worker import ScheduledEnvironment
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.worker.slots import Gpu, Machine, share_slot, visible_gpus

GB = 1024**3


@pytest.fixture(autouse=True)
def own_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def machine(gpus: int = 0, holder: str = "/runs/one", **cluster: Any) -> Machine:
    return Machine(ClusterSettings.parse(cluster), [Gpu(str(index), 16 * GB) for index in range(gpus)], Path(holder))


def test_jobs_get_as_many_places_as_there_are_cpus() -> None:
    here = machine()
    held = [here.acquire_slot(Resources(), running) for running in range(here.cpus)]
    assert all(held)
    assert here.acquire_slot(Resources(), here.cpus) is None
    assert held[0] is not None
    held[0].release()
    assert here.acquire_slot(Resources(), here.cpus - 1) is not None


def test_a_job_may_take_several_cpus_and_at_most_all() -> None:
    here = machine()
    slot = here.acquire_slot(Resources(cpus=here.cpus + 5), 0)
    assert slot is not None
    assert here.acquire_slot(Resources(), 1) is None


def test_two_workers_share_the_places_of_one_machine() -> None:
    one, other = machine(), machine()
    held = [one.acquire_slot(Resources(), running) for running in range(one.cpus)]
    assert all(held)
    assert other.acquire_slot(Resources(), 0) is None


def test_places_come_back_when_their_holder_is_killed(tmp_path: Path) -> None:
    holding = (
        f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from seedfold.jobs.resources import Resources\n"
        "from seedfold.orchestrator.worker.slots import Machine\n"
        "from seedfold.orchestrator.settings.cluster import ClusterSettings\n"
        "here = Machine(ClusterSettings.parse({}), [])\n"
        "held = [here.acquire_slot(Resources(), n) for n in range(here.cpus)]\n"
        "print(all(held), flush=True); input()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert machine().acquire_slot(Resources(), 0) is None
    holder.kill()
    holder.wait()
    assert machine().acquire_slot(Resources(), 0) is not None


def test_slots_limit_the_jobs_of_a_worker() -> None:
    assert machine(slots=2).acquire_slot(Resources(), 2) is None
    assert machine(slots=2).acquire_slot(Resources(), 1) is not None


def test_gpu_jobs_spread_before_they_share() -> None:
    here = machine(gpus=2, jobs_per_gpu=2)
    slots = [here.acquire_slot(Resources(gpus=1), running) for running in range(5)]
    assert [slot and slot.environment_variables()["CUDA_VISIBLE_DEVICES"] for slot in slots] == [
        "0",
        "1",
        "0",
        "1",
        None,
    ]


def test_a_job_on_two_gpus_gets_two_different_ones() -> None:
    here = machine(gpus=2, jobs_per_gpu=2)
    assert here.acquire_slot(Resources(gpus=1), 0) is not None
    slot = here.acquire_slot(Resources(gpus=2), 1)
    assert slot is None or set(slot.gpus) == {"0", "1"}


def test_a_job_without_gpus_sees_none() -> None:
    slot = machine(gpus=1).acquire_slot(Resources(), 0)
    assert slot is not None
    assert slot.environment_variables() == {"CUDA_VISIBLE_DEVICES": ""}


def test_what_the_machine_can_never_give_is_said() -> None:
    assert machine(gpus=1).missing_resources(Resources(gpus=2)) == "asks for 2 GPUs; this machine has 1"
    assert machine(gpus=2).missing_resources(Resources(gpus=2)) is None


def wait_text(waiting: Machine, resources: Resources) -> str:
    assert waiting.acquire_slot(resources, 0) is None
    assert waiting.shortage is not None
    return waiting.shortage.to_text(Path("/runs"))


def test_who_waits_learns_who_has_the_places() -> None:
    waiting = machine(gpus=2, holder="/runs/three")
    first = machine(gpus=2).acquire_slot(Resources(gpus=1), 0)
    assert first is not None
    assert wait_text(waiting, Resources(gpus=2)) == "waits for 2 slots: 1 of 2 is taken by study one"
    assert machine(gpus=2, holder="/else/two").acquire_slot(Resources(gpus=1), 0) is not None
    assert wait_text(waiting, Resources(gpus=1)) == "waits for a slot: all 2 are taken by studies /else/two, one"
    first.release()
    assert machine(gpus=2, holder="/else/two").acquire_slot(Resources(gpus=1), 0) is not None
    assert wait_text(waiting, Resources(gpus=1)) == "waits for a slot: all 2 are taken by study /else/two"
    lonely = machine(gpus=1, holder="/runs/three")
    assert wait_text(lonely, Resources(gpus=1)) == "waits for a slot: the only one is taken by study /else/two"


def test_who_does_not_wait_runs_beside_others_but_takes_free_places_first() -> None:
    other, here = machine(gpus=2), machine(gpus=2, holder="/runs/two")
    taken = [other.acquire_slot(Resources(gpus=1), 0) for _ in range(2)]
    assert here.acquire_slot(Resources(gpus=1), 0) is None
    assert here.shortage is not None
    assert "seedfold resume two --now" in here.shortage.way_on("two")
    here.runs_beside = True
    slots = [here.acquire_slot(Resources(gpus=1), number) for number in range(3)]
    assert [slot and slot.gpus for slot in slots] == [("0",), ("1",), None]
    # Of the places that are free now, the one that it counts already is not given to it twice.
    for slot in (*taken, slots[1]):
        assert slot is not None
        slot.release()
    again = here.acquire_slot(Resources(gpus=1), 1)
    assert again is not None
    assert again.gpus == ("1",)
    assert machine(gpus=2, holder="/runs/three").acquire_slot(Resources(gpus=2), 0) is None


def test_a_job_that_gets_a_place_lacks_none() -> None:
    here = machine(gpus=1)
    slot = here.acquire_slot(Resources(gpus=1), 0)
    assert slot is not None
    assert wait_text(here, Resources(gpus=1)).endswith("by study one")
    slot.release()
    assert here.acquire_slot(Resources(gpus=1), 0) is not None
    assert here.shortage is None


def test_the_task_of_a_scheduler_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    array = TaskArray("fit", Resources(cpus=2, gpus=1), per_task=2, side_by_side=2)
    here = ScheduledEnvironment(array=array).machine(ClusterSettings.parse({"executor": "slurm"}), Path("/runs/one"))
    slots = [here.acquire_slot(Resources(cpus=2, gpus=1), running) for running in range(3)]
    assert [slot and slot.gpus for slot in slots] == [("0",), ("1",), None]
    assert slots[0] is not None
    slots[0].release()
    again = here.acquire_slot(Resources(cpus=2, gpus=1), 1)
    assert again is not None
    assert again.gpus == ("0",)
    assert not list(tmp_path.iterdir())


def write_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Path:
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return program


def test_a_driver_that_cannot_be_asked_shows_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nvidia_smi(tmp_path / "bin", monkeypatch, "0, GPU-a, 100").write_text("not a program")
    assert visible_gpus() == []

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "nvidia-smi")

    monkeypatch.setattr("subprocess.run", refuse)
    assert visible_gpus() == []


def test_messages_of_the_driver_are_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("Warning: infoROM is corrupted", "0, GPU-a, 100", "", "1, GPU-b, [N/A]", "No devices, found")
    write_nvidia_smi(tmp_path / "bin", monkeypatch, *lines)
    assert visible_gpus() == [Gpu("0", 100 * 1024**2, "GPU-a"), Gpu("1", 0, "GPU-b")]


def test_a_shared_slot_is_free_when_all_of_its_jobs_have_ended() -> None:
    one, other = machine(slots=1), machine(holder="/runs/other")
    slot = one.acquire_slot(Resources(cpus=other.cpus), 0)
    assert slot is not None
    parts = share_slot(slot, 2)
    parts[0].release()
    parts[0].release()
    assert other.acquire_slot(Resources(), 0) is None
    parts[1].release()
    assert other.acquire_slot(Resources(), 0) is not None


def test_slots_are_counted_by_what_a_job_asks_for() -> None:
    assert machine(gpus=4, jobs_per_gpu=2).count_slots(Resources(gpus=2)) == 4
    assert machine(slots=3).count_slots(Resources()) == 3
    assert machine().count_slots(Resources(cpus=10_000)) == 1
