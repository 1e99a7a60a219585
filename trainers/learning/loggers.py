"""The logger of a job, besides Seedfold's own metrics: ``logger`` of the configuration, Lightning's or your own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.trainers.setup.object_builder import build

LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
"""The packages that Lightning's loggers need and that Seedfold does not install."""


def make_loggers(work: Work) -> list[Any]:
    """Return the logger that ``logger`` names, if any. By default it writes to ``logs`` in the job's folder.

    Raises ConfigFailure if it cannot be built; the message names a package that is not installed.
    """
    node = work.config.get("logger")
    if not node or "_target_" not in node:
        return []
    folder = work.folder / "logs"
    folder.mkdir(exist_ok=True)
    try:
        return [build(complete_arguments(node, folder), "logger")]
    except ConfigFailure as failure:
        name = _class_name(node)
        if name not in LOGGER_PACKAGES or not _is_missing_package(failure):
            raise
        package = LOGGER_PACKAGES[name]
        raise ConfigFailure(
            f"logger: {name} needs {package}, which is not installed: pip install {package}"
        ) from failure


def complete_arguments(node: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the logger's arguments with ``folder`` for files, unless they name another.

    Without a server, MLflow gets a database there: it refuses the plain files that are Lightning's default.
    """
    found = {**node, "save_dir": node.get("save_dir") or str(folder)}
    if _class_name(node) == "MLFlowLogger" and not node.get("tracking_uri"):
        found["tracking_uri"] = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{found['save_dir']}/mlflow.db"
    return found


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]


def _is_missing_package(failure: ConfigFailure) -> bool:
    instantiation = failure.__cause__
    return instantiation is not None and isinstance(instantiation.__cause__, ModuleNotFoundError)
