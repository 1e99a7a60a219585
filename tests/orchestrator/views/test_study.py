"""``import seedfold as sf``: a study in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import Toy, wait_until

import seedfold as sf
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.views.study import Study


@pytest.fixture
def study(finished: Toy) -> Study:
    return sf.study("toy", finished.root)


def open_study(toy: Toy, monkeypatch: pytest.MonkeyPatch, name: str = "light") -> Study:
    """Open a study as a notebook in the project's folder would."""
    monkeypatch.chdir(toy.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("HOME", "TMPDIR"):
        monkeypatch.setenv(variable, toy.environment[variable])
    return sf.study(name, toy.root, config_dirs=["conf"])


def test_the_import_is_light() -> None:
    code = (
        "import sys, seedfold as sf; sf.study; print(sorted({'torch', 'pandas', 'hydra', 'click'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_status_and_plan_are_tables(finished: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(finished, monkeypatch, "toy")
    status = study.status()
    assert list(status.columns) == ["job", "stage", "seed", "fold", "state", "attempt", "reason", "stale"]
    assert set(status["state"]) == {"done"}
    assert len(study.status(where="seed=1")) == 3
    plan = study.plan("seed=0,1,2")
    assert list(plan.loc[plan["starts"], "seed"]) == [2, 2, 2]
    assert set(plan["state"]) == {"done", "new"}


def test_results_are_tables(study: Study) -> None:
    assert len(study.runs()) == 6
    assert set(study.metrics()["metric"]) >= {"accuracy", "auroc", "log_loss"}
    means = study.metrics(by="seed", where="split=val metric=accuracy")
    assert list(means["seed"]) == [0, 1]
    assert list(means["n"]) == [3, 3]
    assert len(study.metrics(over=["seed", "fold"], where="metric=accuracy")) == 2
    assert len(study.predictions("val", where="seed=0")) == 30
    assert study.oof()["sample_id"].value_counts().eq(2).all()
    assert set(study.ensemble(over="seed", split="test")["n_members"]) == {2}


def test_a_job_by_id_or_place(study: Study) -> None:
    job = study.job(seed=1, fold=2)
    assert job.axes == {"seed": 1, "fold": 2}
    assert study.job(job.id[:8]).id == job.id
    assert study.job("train seed=1 fold=2").id == job.id
    assert job.state == "done"
    assert job.config["signal"] == 2.0
    assert job.log == "seed 1, attempt 1\n"
    assert job.result is not None
    assert set(job.result.files) == {"predictions.test.parquet", "predictions.val.parquet"}
    assert [attempt["state"] for attempt in job.attempts] == ["done"]


def test_errors_are_those_of_the_command(finished: Toy) -> None:
    with pytest.raises(UsageError, match="did you mean 'toy'"):
        sf.study("tyo", finished.root).status()
    with pytest.raises(UsageError, match="cannot be the name of a folder"):
        sf.study("../toy", finished.root)
    with pytest.raises(UsageError, match="seed"):
        sf.study("toy", finished.root).job(sede=1)


def test_tables_need_a_finished_job(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(toy, monkeypatch)
    study.launch("fold=0", "fail_seeds=[0,1]")
    with pytest.raises(UsageError, match="no job is done yet"):
        study.runs()


def test_launch_resume_cancel(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(toy, monkeypatch)
    (toy.data / "broken-1").touch()
    status = study.launch("fold=0")
    assert list(status["state"]) == ["done", "failed"]
    (toy.data / "broken-1").unlink()
    assert list(study.resume(where="seed=1")["state"]) == ["done", "done"]
    study.launch("fold=0", "sleep_s=600", replace=True, wait=False)
    wait_until(lambda: "running" in set(study.status()["state"]))
    study.cancel()
    wait_until(lambda: set(study.status()["state"]) == {"cancelled"})
    assert study.job(seed=0).state == "cancelled"


def test_a_pilot_is_held_and_released(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(toy, monkeypatch)
    assert sorted(study.launch("fold=0,1", pilot=1)["state"]) == ["done", "waiting", "waiting", "waiting"]
    assert sorted(study.release("seed=0", wait=True)["state"]) == ["done", "done", "waiting", "waiting"]
    assert sorted(study.hold()["state"]) == ["done", "done", "waiting", "waiting"]
    study.throttle(1)
    assert toy.json_of("status", "light")["throttle"] == 1
    study.throttle(None)
    with pytest.raises(UsageError, match="must be at least 1"):
        study.throttle(0)
    with pytest.raises(UsageError, match="--pilot-auto: add"):
        study.launch("fold=0,1", pilot_auto=True)


def test_the_report_is_a_file(done: Toy) -> None:
    path = sf.study("toy", done.root).report()
    assert path == done.study().outputs_folder / "report.html"
    assert "<html" in Path(path).read_text()
