"""Seedfold as Hydra's sweeper and launcher: ``hydra/sweeper=seedfold hydra/launcher=seedfold_local``.

Every program that uses Hydra imports this module, so that other modules of Seedfold are imported only when called.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from seedfold.orchestrator.sweeps.expanded_points import PointsOfSweeper
    from seedfold.orchestrator.sweeps.request import SweepRequest

_PROGRAM_VARIABLE = "SEEDFOLD_PROGRAM"


class _Plugin:
    """The common part of sweeper and launcher: their settings are read, unresolved, from the configuration."""

    def __init__(self, **settings: Any) -> None:
        self._request: SweepRequest | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration and the task function that Hydra passes."""
        from seedfold.orchestrator.sweeps.request import SweepRequest

        self._request = SweepRequest(hydra_context, task_function, config)


class SeedfoldSweeper(_Plugin, Sweeper):
    """Expands ``hydra.sweeper`` and the command line like a study file, and runs each job once."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; exit with 1 if a job failed, with 2 for bad input."""
        from seedfold.orchestrator.sweeps.sweep import run_sweep

        assert self._request is not None
        return run_sweep(self._request, arguments)


class SeedfoldLauncher(_Plugin, Launcher):
    """Runs the jobs of any sweeper, on this machine or on a cluster."""

    _points: PointsOfSweeper | None = None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Return what each job returned, in order; an empty list if nothing waits for them."""
        from seedfold.orchestrator.sweeps.expanded_points import PointsOfSweeper

        assert self._request is not None
        self._points = self._points or PointsOfSweeper(self._request)
        return self._points.run(job_overrides, initial_job_idx)


class SeedfoldOptunaSweeper(_Plugin, Sweeper):
    """Optuna's sweeper, which asks for the next trial as soon as any has ended. Its settings are those of Optuna's."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._settings = settings

    def sweep(self, arguments: list[str]) -> Any:
        """Run all trials, and write ``optimization_results.yaml``."""
        from seedfold.orchestrator.sweeps.optuna_sweep import run_optuna_sweep

        assert self._request is not None
        return run_optuna_sweep(self._request, self._settings, arguments)


class SeedfoldSearchPath(SearchPathPlugin):
    """Lets Hydra find the options ``seedfold`` and ``seedfold_*``; they are read only if they are chosen."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add Seedfold's folder after all others; and know the program of a job which the job has started again."""
        note = os.environ.get(_PROGRAM_VARIABLE)
        if note is not None:
            from seedfold.trainers.programs.restarted_program import use_config_of_job

            use_config_of_job(Path(note))
        search_path.append("seedfold", f"file://{Path(__file__).parent / 'conf'}")
