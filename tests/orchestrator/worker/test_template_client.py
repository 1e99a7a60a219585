"""The worker never waits for the template: not while it imports, nor while it has much to tell."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from toyproject import wait_until

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.worker.messages import AttemptRequest, GroupRequest
from seedfold.orchestrator.worker.template_client import TemplateClient
from seedfold.orchestrator.worker.template_start import fork_template


def _request(root: Path, number: int) -> AttemptRequest:
    name = f"{number:064d}"
    job = JobDescription(
        id=name,
        study="s",
        stage="train",
        axes={"seed": number},
        config={"long": "x" * 5000},
        parents=(),
        resources=Resources(),
        run="quick.run",
        fit=name,
    )
    return AttemptRequest(str(root), "s", "token", 1, job.to_dict(), {}, {})


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.slow
def test_many_requests_at_once_are_all_served(packages: Path) -> None:
    (packages / "quick.py").write_text("def run(work):\n    raise ValueError('x' * 500)\n")
    spawner, heard = TemplateClient("on", ["quick.run"]), Counter[str]()
    for number in range(150):
        spawner.start(GroupRequest((_request(packages, number),)))

    def all_ended() -> bool:
        heard.update(message["m"] for message in spawner.receive_messages(0.1))
        return heard["exit"] == 150

    wait_until(all_ended)
    assert heard["failed"] == 150
    spawner.close()


def test_a_process_with_threads_is_not_forked() -> None:
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    assert fork_template() is None
    ends.set()
    thread.join()


def test_a_template_that_hangs_in_an_import_holds_nobody_up(packages: Path) -> None:
    (packages / "quick.py").write_text("import time\ntime.sleep(1000)\n")
    spawner = TemplateClient("on", ["quick.run"])
    for number in range(50):
        spawner.start(GroupRequest((_request(packages, number),)))
    assert spawner.receive_messages(0.1) == []
    assert spawner.is_alive()
    spawner.close()
