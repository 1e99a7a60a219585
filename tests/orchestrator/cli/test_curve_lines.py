"""Learning curves as text, and the logs of jobs that failed alike."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.cli.curve_lines import curve_lines, draw_curve
from seedfold.orchestrator.state.study_logs import StudyLogs


def test_a_curve_has_a_block_for_each_point_or_for_several() -> None:
    assert draw_curve([0.0, 0.5, 1.0], 40) == "▁▅█"
    assert draw_curve([float(number) for number in range(100)], 8) == "▁▂▃▄▅▆▇█"
    assert draw_curve([1.0, None, 1.0], 40) == "▁ ▁"
    assert draw_curve([None], 40) == " "
    assert draw_curve([], 40) == ""


@pytest.mark.parametrize("width", [60, 100])
def test_a_line_has_the_name_and_the_ends_and_fits(width: int) -> None:
    points = [(step, step / 7) for step in range(300)]
    lines = curve_lines({"val/accuracy": points, "loss": [(0, 2.0), (1, None)], "none": []}, width)
    assert [len(line) <= width for line in lines] == [True, True]
    assert lines[0].startswith("  val/accuracy  ▁")
    assert lines[0].endswith("0 → 42.71, 300 points")
    assert lines[1].endswith("2 → nan, 2 points")


def make_job(**axes: Any) -> JobDescription:
    return JobDescription(hashlib.sha256(repr(axes).encode()).hexdigest(), "s", "fit", axes, {}, (), Resources(), "toy")


def test_of_logs_that_end_alike_only_the_first_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = []
    for seed, text in enumerate(("a\nb\n", "a\nb\n", "c\nd\n", "")):
        log = tmp_path / f"{seed}.txt"
        log.write_text(text)
        state = SimpleNamespace(reason="it said nothing")
        view = SimpleNamespace(job=make_job(seed=seed), job_state=state, state="failed")
        view.failure_json = lambda log=log: {"log": str(log)}
        views.append(view)
    overview = SimpleNamespace(jobs_at_addresses=lambda: {view.job.address: view.job for view in views})
    logs = StudyLogs(cast("Any", overview))
    monkeypatch.setattr(logs, "_views", lambda: views)
    lines = [line.line.decode() for line in logs.ends_of_failed()]
    assert lines == ["a", "b", f"ends as the log of {views[0].job.short_id}", "c", "d", "it said nothing"]
