"""The logger of a job, besides Seedfold's own metrics: ``logger`` of the configuration, Lightning's or your own.

All attempts of a job log to one run, which has the name of the job's axis values and shows these as hyper-parameters.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.trainers.setup.object_builder import build

LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
"""The packages that Lightning's loggers need and that Seedfold does not install."""
_MLFLOW_RUN_FILE = "mlflow_run.json"
"""The run of MLflow that earlier attempts of the job have logged to, by the address of the server."""


def make_loggers(work: Work) -> list[Any]:
    """Return the logger that ``logger`` names, if any. By default it writes to ``logs`` in the job's folder.

    Raises ConfigFailure if it cannot be built; the message names a package that is not installed.
    """
    node = work.config.get("logger")
    if not node or "_target_" not in node:
        return []
    folder = work.folder / "logs"
    folder.mkdir(exist_ok=True)
    arguments = complete_arguments(node, folder, work.description)
    try:
        logger = build(arguments, "logger")
    except ConfigFailure as failure:
        name = _class_name(node)
        if name not in LOGGER_PACKAGES or not _is_missing_package(failure):
            raise
        package = LOGGER_PACKAGES[name]
        raise ConfigFailure(
            f"logger: {name} needs {package}, which is not installed: pip install {package}"
        ) from failure
    if _class_name(node) == "MLFlowLogger":
        (folder / _MLFLOW_RUN_FILE).write_text(json.dumps({arguments["tracking_uri"]: logger.run_id}))
    if work.description.axes:
        logger.log_hyperparams(dict(work.description.axes))
    return [logger]


def complete_arguments(node: Mapping[str, Any], folder: Path, job: JobDescription) -> dict[str, Any]:
    """Return the logger's arguments, and for what they leave out: ``folder`` for files, and the run of this job.

    Without a server, MLflow gets a database there: it refuses the plain files that are Lightning's default.
    """
    found = {**node, "save_dir": node.get("save_dir") or str(folder)}
    kind = _class_name(node)
    if kind == "MLFlowLogger" and not node.get("tracking_uri"):
        found["tracking_uri"] = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{found['save_dir']}/mlflow.db"
    own = {key: value for key, value in found.items() if value is not None}
    return {**found, **_run_of_job(kind, found, folder, job), **own}


def _run_of_job(kind: str, found: Mapping[str, Any], folder: Path, job: JobDescription) -> dict[str, Any]:
    """Return the arguments that name the run of a job, for the loggers that are known."""
    name = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in job.axes.items()) or job.stage
    if kind == "TensorBoardLogger":
        return {"name": name.replace("/", "_")}
    if kind == "WandbLogger":
        return {"name": name, "group": job.study, "id": job.short_id}
    if kind == "MLFlowLogger":
        tags = {"seedfold.study": job.study, "seedfold.job": job.short_id}
        return {"run_name": name, "tags": tags, "run_id": _earlier_run(folder, found["tracking_uri"])}
    return {}


def _earlier_run(folder: Path, server: str) -> str | None:
    file = folder / _MLFLOW_RUN_FILE
    runs: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return runs.get(server)


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]


def _is_missing_package(failure: ConfigFailure) -> bool:
    instantiation = failure.__cause__
    return instantiation is not None and isinstance(instantiation.__cause__, ModuleNotFoundError)
