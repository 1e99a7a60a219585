"""The logger that hands the metrics of a Lightning training to `seedfold.current()`.

It is mixed into the ``Logger`` of the Lightning package that a program uses; see `lightning_parts`.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from seedfold.results.recording.current_run import current, process_rank

HYPERPARAMETERS_FILE = "hparams.json"


class LoggerMethods:
    """Logs by epoch: what is logged in an epoch, in training and in validation, is one row of the learning curves.

    A metric that is logged after each batch has its last value there. What ``trainer.test`` and ``trainer.validate``
    log has no epoch. Hyper-parameters that the module saves are kept as ``hparams.json``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._trainer: Any = None

    @property
    def name(self) -> str:
        """Empty: files of other callbacks are directly in the folder of the job."""
        return ""

    @property
    def version(self) -> str:
        """Empty, as `name`."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the job."""
        return str(current().folder)

    @property
    def log_dir(self) -> str:
        """The folder of the job."""
        return self.save_dir

    def log_graph(self, model: Any, *arguments: Any, **named: Any) -> None:
        """Remember the trainer: Lightning calls this before the first metric, and a graph is not kept."""
        self._trainer = getattr(model, "trainer", None)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics of the current epoch."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        if values:
            current().log_within_epoch(values, step=self._find_epoch(metrics, step))

    def _find_epoch(self, metrics: Mapping[str, Any], step: int | None) -> int | None:
        if self._trainer is None:
            return int(metrics["epoch"]) if "epoch" in metrics else step
        return int(self._trainer.current_epoch) if self._trainer.state.fn == "fit" else None

    def log_hyperparams(self, params: Any, *arguments: Any, **named: Any) -> None:
        """Keep the hyper-parameters; what JSON cannot hold is kept as its text."""
        run = current()
        if process_rank() != 0 or not run.is_job:
            return
        values = vars(params) if isinstance(params, Namespace) else dict(params or {})
        file = run.folder / HYPERPARAMETERS_FILE
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(values, default=str, indent=1), encoding="utf-8")
        temporary.replace(file)
        run.artifact(file)
