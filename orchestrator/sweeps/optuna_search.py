"""The study of Optuna that the settings of hydra-optuna-sweeper describe: it asks for points and is told their values.

What the settings mean, and the form of ``optimization_results.yaml``, are those of hydra-optuna-sweeper: its own
functions read them.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import UsageError

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

_PACKAGE = "hydra-optuna-sweeper"
_log = logging.getLogger(__name__)


class OptunaSearch:
    """A search: its space, how many trials it has (``n_trials``), and how many of them at a time (``n_jobs``)."""

    def __init__(self, config: DictConfig, settings: Mapping[str, Any], arguments: Sequence[str]) -> None:
        try:
            impl: Any = importlib.import_module("hydra_plugins.hydra_optuna_sweeper._impl")
            self._sweeper = impl.OptunaSweeperImpl(**settings)
            self._sweeper.config = config
            self._sweeper._process_searchspace_config()
            texts = [*self._sweeper._parse_sweeper_params_config(), *arguments]
            found, self._fixed = impl.create_params_from_overrides(texts)
            self._directions: list[str] = self._sweeper._get_directions()
        except (ImportError, AttributeError, TypeError) as error:
            raise UsageError(
                f"hydra/sweeper=seedfold_optuna: {_PACKAGE} 1.2 or 1.3 is needed ({error}); install it, or give"
                " hydra/sweeper=optuna"
            ) from error
        self._space: dict[str, Any] = {**(self._sweeper.search_space_distributions or {}), **found}
        self.n_jobs: int = self._sweeper.n_jobs
        self.n_trials: int = self._sweeper.n_trials
        self._is_grid = self._set_up_grid()
        for name in self._fixed:
            self._space.pop(name, None)

    def _set_up_grid(self) -> bool:
        """Give a grid sampler its grid, as Optuna's sweeper does; return whether the sampler is one."""
        import optuna

        sampler = self._sweeper.sampler
        if not (isinstance(sampler, partial) and sampler.func is optuna.samplers.GridSampler):
            return False
        grid = {name: self._sweeper._to_grid_sampler_choices(one) for name, one in self._space.items()}
        self.n_trials = min(self.n_trials, prod(map(len, grid.values())))
        self._sweeper.sampler = sampler(grid)
        return True

    @cached_property
    def study(self) -> Any:
        """Optuna's study."""
        optuna: Any = importlib.import_module("optuna")
        sweeper = self._sweeper
        return optuna.create_study(
            study_name=sweeper.study_name,
            storage=sweeper.storage,
            sampler=sweeper.sampler,
            directions=self._directions,
            load_if_exists=True,
        )

    def has_memory(self) -> bool:
        """Whether Optuna itself keeps the trials of earlier calls."""
        return self._sweeper.storage is not None

    def params_of(self, axes: Mapping[str, Any]) -> dict[str, Any] | None:
        """The parameters of an earlier point, from its axes; None if this search cannot have asked for it."""
        names = {name.lstrip("+"): name for name in (*self._space, *self._fixed)}
        if axes.keys() - names.keys():
            return None
        for key, name in names.items():
            if name in self._fixed and key in axes and not _is_written(self._fixed[name], axes[key]):
                return None
        params = {name: _param_value(space, axes.get(name.lstrip("+"))) for name, space in self._space.items()}
        return None if None in params.values() else params

    def enqueue(self, params: Mapping[str, Any]) -> None:
        """Let the next trial have these parameters."""
        self.study.enqueue_trial(dict(params))

    def ask(self, count: int) -> list[tuple[Any, Sequence[str]]]:
        """Return the next trials, each with the overrides of its point."""
        trials = [self.study.ask() for _ in range(count)]
        return list(zip(trials, self._sweeper._configure_trials(trials, self._space, self._fixed), strict=True))

    def tell(self, trial: Any, job_return: JobReturn) -> Exception | None:
        """Tell what a job returned; return why the trial has failed, None if it has not."""
        import optuna

        try:
            values = self._values_of(job_return)
        except Exception as error:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            _log.warning("Failed experiment: %s", error)
            return error
        try:
            self.study.tell(trial, values, state=optuna.trial.TrialState.COMPLETE)
        except RuntimeError:
            # A grid sampler stops the study after its last point, which only `Study.optimize` allows.
            if not self._is_grid:
                raise
        return None

    def _values_of(self, job_return: JobReturn) -> list[float]:
        returned, count = job_return.return_value, len(self._directions)
        try:
            values = [float(returned)] if count == 1 else [float(one) for one in returned]
        except (TypeError, ValueError):
            kind = "a number" if count == 1 else f"{count} numbers"
            raise ValueError(f"the function has to return {kind}, one for each direction, not {returned!r}") from None
        if len(values) != count:
            raise ValueError(f"the function has to return {count} numbers, one for each direction, not {returned!r}")
        return values

    def fails_with(self, failure_count: int) -> bool:
        """Whether so many failed trials are more than ``max_failure_rate`` allows of all trials."""
        return bool(failure_count / self.n_trials > self._sweeper.max_failure_rate)

    def save_results(self, folder: Path) -> None:
        """Write ``optimization_results.yaml``: the best trial, or the best ones where there are several directions."""
        from omegaconf import OmegaConf

        results: dict[str, Any]
        if len(self._directions) == 1:
            best = self.study.best_trial
            results = {"name": "optuna", "best_params": best.params, "best_value": best.value}
            _log.info("Best parameters: %s", best.params)
            _log.info("Best value: %s", best.value)
        else:
            front = self.study.best_trials
            results = {"name": "optuna", "solutions": [{"params": one.params, "values": one.values} for one in front]}
            _log.info("Number of Pareto solutions: %s", len(front))
        OmegaConf.save(OmegaConf.create(results), folder / "optimization_results.yaml")


def _is_written(text: str, value: Any) -> bool:
    """Whether a text of Hydra's grammar is this value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return canonical_json(OverridesParser.create().parse_override(f"key={text}").value()) == canonical_json(value)


def _param_value(space: Any, value: Any) -> Any:
    """The value of a parameter as its distribution has it; None if the distribution does not have it."""
    if hasattr(space, "choices"):
        return next((choice for choice in space.choices if _is_written(str(choice), value)), None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and space.low <= value <= space.high else None
