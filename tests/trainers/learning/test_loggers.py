from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.orchestrator.settings.failures import failure_from_exception
from seedfold.trainers.learning.loggers import LOGGER_PACKAGES, complete_arguments, make_loggers
from seedfold.trainers.stages import fit_predict

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]
TINY = ("experiment=breast_cancer", "trainer.max_epochs=2")
JOB = JobDescription("a" * 64, "s", "train", {"seed": 3, "model.lr": 0.1}, {}, (), Resources(), "run")
CSV = "pytorch_lightning.loggers.CSVLogger"


@pytest.mark.parametrize("option", ["tensorboard", "mlflow", "wandb"])
def test_a_package_that_is_not_installed_is_named_in_one_line(compose: Compose, work: MakeWork, option: str) -> None:
    if find_spec(option):
        pytest.skip(f"{option} is installed")
    config = compose("experiment=breast_cancer", f"logger={option}")
    with pytest.raises(ConfigFailure) as caught:
        fit_predict.run(work(config))
    name = config["logger"]["_target_"].rpartition(".")[2]
    assert LOGGER_PACKAGES[name] == option
    failure = failure_from_exception(caught.value)
    told = f"logger: {name} needs {option}, which is not installed: pip install {option}"
    assert (failure.kind, failure.reason) == ("config", f"ConfigFailure: {told}")


def test_a_logger_writes_below_the_job_unless_told_where(compose: Compose, work: MakeWork, tmp_path: Path) -> None:
    config = compose(*TINY)
    config["logger"] = {"_target_": CSV, "save_dir": None, "name": "", "version": ""}
    job = work(config)
    fit_predict.run(job)
    header, *rows = (job.folder / "logs" / "metrics.csv").read_text().splitlines()
    assert {"step", "val/loss"} <= set(header.split(","))
    assert len(rows) >= 2
    elsewhere = {**config, "logger": {**config["logger"], "save_dir": str(tmp_path / "elsewhere")}}
    fit_predict.run(work(elsewhere, fit="other"))
    assert (tmp_path / "elsewhere" / "metrics.csv").exists()


def test_mlflow_keeps_a_database_where_no_server_is_named(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    node = compose("experiment=breast_cancer", "logger=mlflow")["logger"]
    assert complete_arguments(node, tmp_path, JOB)["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert (
        complete_arguments({**node, "save_dir": "/logs"}, tmp_path, JOB)["tracking_uri"] == "sqlite:////logs/mlflow.db"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    assert complete_arguments(node, tmp_path, JOB)["tracking_uri"] == "http://one"
    assert complete_arguments({**node, "tracking_uri": "http://two"}, tmp_path, JOB)["tracking_uri"] == "http://two"


def test_all_attempts_of_a_job_are_one_run_with_the_name_of_its_axis_values(compose: Compose, tmp_path: Path) -> None:
    def given(option: str, **values: str) -> dict[str, Any]:
        return complete_arguments(
            {**compose("experiment=breast_cancer", f"logger={option}")["logger"], **values}, tmp_path, JOB
        )

    board, wandb, mlflow = given("tensorboard"), given("wandb"), given("mlflow", tracking_uri="http://one")
    assert (board["name"], board["version"]) == ("seed=3 lr=0.1", "")
    assert (wandb["name"], wandb["group"], wandb["id"]) == ("seed=3 lr=0.1", "s", "a" * 12)
    assert (mlflow["run_name"], mlflow["run_id"]) == ("seed=3 lr=0.1", None)
    assert given("wandb", name="mine", group="ours")["group"] == "ours"
    assert given("tensorboard", name="mine")["name"] == "mine"
    (tmp_path / "mlflow_run.json").write_text('{"http://one": "earlier"}')
    assert given("mlflow", tracking_uri="http://one")["run_id"] == "earlier"
    assert given("mlflow", tracking_uri="http://two")["run_id"] is None


def test_tensorboard_has_the_curves_and_the_axis_values(compose: Compose, work: MakeWork) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    job = work(compose(*TINY, "logger=tensorboard"))
    job = replace(job, description=replace(job.description, axes={"seed": 3}))
    fit_predict.run(job)
    [folder] = (job.folder / "logs").iterdir()
    assert folder.name == "seed=3"
    assert (folder / "hparams.yaml").read_text() == "seed: 3\n"
    events = reader.EventAccumulator(str(folder)).Reload()
    assert [one.step for one in events.Scalars("val/loss")] == [0, 1]


@pytest.mark.slow
def test_mlflow_has_one_run_of_all_attempts(compose: Compose, work: MakeWork, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    config = compose(*TINY, "logger=mlflow")
    for _ in range(2):
        job = work(config)
        job = replace(job, description=replace(job.description, axes={"seed": 3}))
        fit_predict.run(job)
        (job.folder / "fit.json").unlink()
        (job.folder / "last.ckpt").unlink()
    client = mlflow.MlflowClient(f"sqlite:///{job.folder}/logs/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("seedfold").experiment_id])
    assert (run.info.run_name, run.data.params, run.data.tags["seedfold.study"]) == ("seed=3", {"seed": "3"}, "study")
    assert [one.step for one in client.get_metric_history(run.info.run_id, "val/loss")] == [0, 1, 0, 1]


@pytest.mark.slow
def test_wandb_writes_files_to_be_sent_later(compose: Compose, work: MakeWork) -> None:
    wandb = pytest.importorskip("wandb")
    job = work(compose(*TINY, "logger=wandb"))
    fit_predict.run(job)
    wandb.finish()  # As at the end of the process of a job.
    [file] = (job.folder / "logs" / "wandb").glob("offline-run-*/run-aaaaaaaaaaaa.wandb")
    assert file.stat().st_size > 1000


def test_other_errors_of_a_logger_stay_what_they_are(compose: Compose, work: MakeWork) -> None:
    config = compose(*TINY)
    assert make_loggers(work(config)) == []
    job = work({**config, "logger": {"_target_": CSV, "nmae": "x"}})
    job.folder.mkdir()
    with pytest.raises(ConfigFailure, match=r"logger: TypeError: .*nmae"):
        make_loggers(job)
