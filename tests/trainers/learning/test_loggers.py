from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.orchestrator.settings.failures import failure_from_exception
from seedfold.trainers.learning.loggers import LOGGER_PACKAGES, complete_arguments, make_loggers
from seedfold.trainers.stages import fit_predict

Compose = Callable[..., dict[str, Any]]
MakeWork = Callable[..., Work]
TINY = ("experiment=breast_cancer", "trainer.max_epochs=2")
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
    assert complete_arguments(node, tmp_path)["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert complete_arguments({**node, "save_dir": "/logs"}, tmp_path)["tracking_uri"] == "sqlite:////logs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    assert complete_arguments(node, tmp_path)["tracking_uri"] == "http://one"
    assert complete_arguments({**node, "tracking_uri": "http://two"}, tmp_path)["tracking_uri"] == "http://two"


def test_other_errors_of_a_logger_stay_what_they_are(compose: Compose, work: MakeWork) -> None:
    config = compose(*TINY)
    assert make_loggers(work(config)) == []
    job = work({**config, "logger": {"_target_": CSV, "nmae": "x"}})
    job.folder.mkdir()
    with pytest.raises(ConfigFailure, match=r"logger: TypeError: .*nmae"):
        make_loggers(job)
