"""What done jobs have used of what they asked for."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from toyproject import Toy, wait_until

from seedfold.orchestrator.ledger.ledger import JobRecord
from seedfold.orchestrator.state.usage import percentile, use_of_event
from seedfold.orchestrator.worker.used_resources import UseSampler, merge_use, tree_memory

MB = 1024**2


def usage_of(toy: Toy, *args: str) -> dict[tuple[str, str], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(toy.output_of("results", "chain", "usage", "--format", "csv", *args)))
    return {(row["stage"], row["resource"]): row for row in rows}


def forget_use(toy: Toy) -> None:
    """Make the events as they were before usage was recorded."""
    for file in toy.root.glob("chain/events/*.jsonl"):
        events = [json.loads(line) for line in file.read_text().splitlines()]
        lines = [json.dumps({key: value for key, value in event.items() if key != "usage"}) for event in events]
        file.write_text("".join(f"{line}\n" for line in lines))


def test_a_study_tells_what_its_jobs_used_of_what_they_asked_for(toy: Toy) -> None:
    toy.launch(experiment="chain")
    toy.wait_for_workers()
    found = usage_of(toy)
    assert {place: row["n"] for place, row in found.items()} == {
        ("fit", "time_s"): "4",
        ("fit", "memory_bytes"): "4",
        ("sum", "time_s"): "2",
        ("sum", "memory_bytes"): "2",
    }
    memory = found["fit", "memory_bytes"]
    assert 5 * MB < float(memory["median"]) <= float(memory["max"]) < 1024 * MB == float(memory["request"])
    assert float(memory["share"]) == pytest.approx(float(memory["p95"]) / (1024 * MB))
    assert set(usage_of(toy, "--stage", "sum")) == {("sum", "time_s"), ("sum", "memory_bytes")}

    forget_use(toy)
    shown = toy.output_of("results", "chain", "usage")
    assert "6 jobs were done by a version that did not record memory" in shown
    assert usage_of(toy)["fit", "memory_bytes"] | {"request": ""} == {
        **dict.fromkeys(("median", "p95", "max", "request", "share"), ""),
        **{"stage": "fit", "resource": "memory_bytes", "n": "0"},
    }
    refused = toy.run_in_process("results", "chain", "usage", "--over", "seed")
    assert (refused.returncode, refused.stderr) == (
        2,
        "seedfold: --over: the table usage has no such option; see seedfold results --help\n",
    )


def test_the_time_of_interrupted_attempts_counts_as_well() -> None:
    record = JobRecord()
    done = {"e": "done", "t": 500.0, "n": 2, "seconds": 30.0, "usage": {"memory_bytes": 7, "gpu_percent": "x"}}
    for event in (
        {"e": "started", "t": 100.0, "n": 1},
        {"e": "interrupted", "t": 160.0, "n": 1},
        {"e": "started", "t": 470.0, "n": 2},
        done,
    ):
        record.add_event(event)
    use = use_of_event("fit", "toy.run", done, record)
    assert (use.seconds, use.memory_bytes, use.gpu_percent) == (90.0, 7.0, None)


def test_of_the_memory_that_was_told_and_seen_the_larger_counts() -> None:
    told = {"memory_bytes": 10, "gpu_memory_bytes": 3}
    assert merge_use(told, {"memory_bytes": 20, "gpu_percent": 50.0}) == {
        "memory_bytes": 20,
        "gpu_memory_bytes": 3,
        "gpu_percent": 50.0,
    }
    assert merge_use({}, {"memory_bytes": 0}) == {"memory_bytes": 0}


def test_the_memory_of_a_job_is_that_of_all_its_processes() -> None:
    text = "import sys; kept = bytes(range(256)) * (200 * 4096); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert tree_memory(os.getpid()) > tree_memory(child.pid) > 200 * MB
        child.communicate()
    wait_until(lambda: tree_memory(child.pid) == 0)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 10), (0.95, 19), (0.951, 20), (1.0, 20)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert percentile([*range(20, 0, -1)], share) == value


def test_a_gpu_is_asked_for_by_its_number_or_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetHandleByUUID=len,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=handle),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    slot = SimpleNamespace(gpus=("7", "GPU-8f2d"))
    running: Any = SimpleNamespace(pid=os.getpid(), peak_bytes=0, gpu_percents=[], slot=slot)
    UseSampler().sample([running])
    assert running.gpu_percents == [7, 8]
    assert running.peak_bytes > 0
