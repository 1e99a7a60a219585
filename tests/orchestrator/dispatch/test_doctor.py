"""The doctor finds what is wrong, says what to do, and leaves no trace."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from toyproject import Toy, read_files, wait_until

from seedfold.orchestrator.dispatch import doctor
from seedfold.orchestrator.dispatch.doctor import examine_machine, file_system_type
from seedfold.orchestrator.dispatch.wait import stop_workers
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.worker.slots import Gpu


@pytest.fixture(autouse=True)
def _quick_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a process that answers as torch would, without the seconds that its import takes."""
    monkeypatch.setattr(doctor, "_TORCH_PROGRAM", "print('[\"2.9\", null, 0]')")


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for no cluster: its programs may be installed here, and nobody answer them."""
    monkeypatch.setattr("seedfold.orchestrator.cli.doctor._COMMANDS", {})


def findings(toy: Toy, *arguments: str) -> dict[str, dict[str, str]]:
    found = json.loads(toy.run_in_process("doctor", "--json", *arguments).stdout)
    return {f"{one['level']} {one['topic']}": one for one in found}


def by_topic(found: list[Finding]) -> dict[str, Finding]:
    return {one.topic: one for one in found}


def test_a_sound_machine_and_study(finished: Toy) -> None:
    before = read_files(finished.root)
    ended = finished.run_in_process("doctor", "toy")
    assert ended.returncode == 0
    assert "6 results read completely; all are intact" in ended.stdout
    assert "exclusive creation works" in ended.stdout
    assert all(line.split()[0] in {"ok", "warning", "problem"} for line in ended.stdout.splitlines())
    assert read_files(finished.root) == before
    assert not list(finished.root.glob(".doctor-*"))


def test_damage_that_keeps_size_and_time_is_found(done: Toy) -> None:
    job = done.json_of("show", "seed=0", "fold=0")
    file = Path(job["result"]["folder"]) / "predictions.val.parquet"
    status, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert done.states() == {"done": 6}
    ended = done.run_in_process("doctor", "toy")
    assert ended.returncode == 1
    assert "predictions.val.parquet: its content has changed" in ended.stdout
    assert "seedfold resume toy" in ended.stdout


@pytest.mark.slow
def test_dead_workers_and_lost_jobs_are_told(toy: Toy) -> None:
    toy.launch("--detach", "sleep_s=600", "seed=0", "fold=0,1,2", experiment="light")
    wait_until(lambda: toy.states("light").get("running"))
    toy.kill_workers()
    wait_until(lambda: "running" not in toy.states("light"))
    warning = findings(toy)["warning light"]
    assert "lost" in warning["text"] or "died" in warning["text"]
    assert warning["remedy"] == "seedfold resume light"
    assert re.search(
        r"the worker of submission \S+ died; its log: \S+, 3 jobs wait: ", toy.run_in_process("doctor").stdout
    )
    toy.output_of("resume", "light", "--where", "fold=0", "--detach")
    wait_until(lambda: toy.states("light").get("running"))
    stop_workers(toy.study("light"))
    wait_until(lambda: not toy.states("light").get("running"))
    assert ", 2 jobs wait: " in toy.run_in_process("doctor").stdout


def test_a_root_that_is_not_there_yet_is_not_created(tmp_path: Path) -> None:
    found = by_topic(list(examine_machine(Root(tmp_path / "a" / "b"))))
    assert "does not exist yet" in found["root"].text
    assert found["claims"].level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_links_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    found = by_topic(list(examine_machine(Root(tmp_path))))
    assert found["claims"].level == "warning"
    assert "no hard links" in found["claims"].text
    assert "O_EXCL" in found["claims"].remedy


def test_a_file_system_that_creates_a_file_twice_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "create_once", lambda path, text: True)
    found = by_topic(list(examine_machine(Root(tmp_path))))
    assert found["claims"].level == "problem"
    assert "another file system" in found["claims"].remedy


def test_a_clock_that_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    for skew, level in {0.0: "ok", 10.0: "warning", 600.0: "problem"}.items():
        monkeypatch.setattr(doctor.time, "time", lambda skew=skew: now() - skew)
        assert by_topic(list(examine_machine(Root(tmp_path))))["clock"].level == level


def test_a_torch_that_does_not_import_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TORCH_PROGRAM", "raise ImportError('libcudart.so.12: cannot open')")
    found = by_topic(list(examine_machine(Root(tmp_path))))
    assert (found["torch"].level, "libcudart.so.12" in found["torch"].text) == ("problem", True)


def test_gpus_that_torch_cannot_use_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "visible_gpus", lambda: [Gpu("0", 1024**3)])
    found = by_topic(list(examine_machine(Root(tmp_path))))
    assert found["torch"].level == "warning"
    assert "0: 1.0 GB free" in found["GPUs"].text


def test_a_site_file_that_is_no_mapping_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    site = tmp_path / ".config" / "seedfold" / "site.yaml"
    site.parent.mkdir(parents=True)
    site.write_text("- a list\n")
    found = by_topic(list(examine_machine(Root(tmp_path / "root"))))
    assert (found["site file"].level, "site.yaml" in found["site file"].text) == ("problem", True)


def test_the_kind_of_a_file_system_is_known() -> None:
    assert file_system_type(Path("/proc")) == "proc"
