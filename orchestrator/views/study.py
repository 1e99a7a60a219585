"""A study in Python, for notebooks: the same functions as the command, with tables as DataFrames.

Each call reads what is on disk at that moment. Errors are raised as `seedfold.jobs.errors.SeedfoldError`, with the text
that the command would print.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.cancel import cancel
from seedfold.orchestrator.dispatch.hold import hold, release
from seedfold.orchestrator.dispatch.launch import launch, make_plan
from seedfold.orchestrator.dispatch.pilot import pilot_request
from seedfold.orchestrator.dispatch.rerun import rerun
from seedfold.orchestrator.dispatch.resume import resume
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.dispatch.throttle import throttle
from seedfold.orchestrator.dispatch.wait import JobWatcher, stop_workers
from seedfold.orchestrator.ledger.layout import Root, find_root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.axes_text import axes_text
from seedfold.orchestrator.state.finished_jobs import find_by_code
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.orchestrator.state.job_lookup import find_job
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.views.job import Job
from seedfold.orchestrator.views.tables import TableRequest, make_result_table

if TYPE_CHECKING:
    import pandas as pd

Where = str | None
Zeros = Literal["error", "epsilon", "as_published"]
Names = str | Sequence[str]
Across = Literal["code"] | None
"""``code`` puts together what several versions of the code computed; otherwise an axis ``code`` keeps them apart."""


@dataclass(frozen=True)
class Study:
    """A study under a root. Conditions are written as in ``--where``: ``"seed=1,2 fold>=3"``.

    ``with_removed`` adds the jobs of points that the study as last launched no longer has.
    """

    name: str
    root: Root
    config_dirs: tuple[Path, ...] = ()
    with_removed: bool = False

    @classmethod
    def open(
        cls,
        name: str,
        root: str | Path | None = None,
        config_dirs: Sequence[str | Path] = (),
        with_removed: bool = False,
    ) -> Study:
        """Open a study by name; it need not exist. Raises UsageError for a name that cannot be the name of a folder."""
        found = find_root(root)
        found.study_folder(name)
        return cls(name, found, tuple(Path(folder).expanduser().absolute() for folder in config_dirs), with_removed)

    # --- states ------------------------------------------------------------------------------------------------

    def status(self, where: Where = None) -> pd.DataFrame:
        """Return one row per address of the study: job, stage, axes, state, attempt, reason, stale."""
        views = self._read_overview().job_views(_parse_selection(where))
        columns = ["state", "attempt", "reason", "stale"]
        rows = [(view.state, view.job_state.attempt, view.job_state.reason, view.stale) for view in views]
        return _jobs_frame([view.job for view in views], rows, columns)

    def plan(self, *overrides: str) -> pd.DataFrame:
        """Return one row per job of the study file: job, stage, axes, state, stale, whether a launch would start it."""
        plan = make_plan(self.root, self._add_experiment(overrides), self.config_dirs)
        starting = {planned.job.id for planned in plan.startable_jobs()}
        rows = [(planned.state, planned.stale, planned.job.id in starting) for planned in plan.jobs]
        return _jobs_frame([planned.job for planned in plan.jobs], rows, ["state", "stale", "starts"])

    # --- results ------------------------------------------------------------------------------------------------

    def runs(self, where: Where = None, across: Across = None) -> pd.DataFrame:
        """Return one row per finished job, with its metrics in columns."""
        return make_result_table("runs", self._table_request(where, across))

    def metrics(self, by: Names = (), over: Names = (), where: Where = None, across: Across = None) -> pd.DataFrame:
        """Return metrics per job.

        With ``by`` or ``over``, return means and spread: ``by`` names the axes that are kept, ``over`` those that are
        averaged.
        """
        return make_result_table("metrics", self._table_request(where, across, by=_as_tuple(by), over=_as_tuple(over)))

    def predictions(self, split: Names = (), where: Where = None, across: Across = None) -> pd.DataFrame:
        """Return every prediction, with the logits and the axes of its job."""
        return make_result_table("predictions", self._table_request(where, across, splits=_as_tuple(split)))

    def oof(
        self,
        over: Names = "fold",
        where: Where = None,
        partial: bool = False,
        across: Across = None,
        split: Names = (),
    ) -> pd.DataFrame:
        """Return out-of-fold predictions: each sample once per group. Raises UsageError if a fold is missing.

        Without ``split``, they are those of ``val``, or of the only split that there is.
        """
        return make_result_table(
            "oof",
            self._table_request(where, across, over=_as_tuple(over), splits=_as_tuple(split), partial=partial),
        )

    def ensemble(
        self,
        over: Names = (),
        split: Names = (),
        where: Where = None,
        partial: bool = False,
        across: Across = None,
    ) -> pd.DataFrame:
        """Return mean probabilities over axes, by default over seeds."""
        return make_result_table(
            "ensemble",
            self._table_request(where, across, over=_as_tuple(over), splits=_as_tuple(split), partial=partial),
        )

    def top(
        self,
        split: Names = (),
        where: Where = None,
        partial: bool = False,
        min_accuracy: float = 0.6,
        rank_by: str = "auroc",
        members: Names = (),
        across: Across = None,
    ) -> pd.DataFrame:
        """Return the metrics of ensembles of the best heads of all models of each fold, for every number of them.

        Members have a validation accuracy of ``min_accuracy``, or meet one of the conditions ``members``.
        """
        choice = {"min_accuracy": min_accuracy, "rank_by": rank_by, "members": _as_tuple(members) or None}
        return make_result_table(
            "top", self._table_request(where, across, splits=_as_tuple(split), partial=partial, member_choice=choice)
        )

    def compare(
        self, over: str, metric: Names = (), split: Names = (), where: Where = None, samples: bool = False
    ) -> pd.DataFrame:
        """Return the paired differences of each two values of an axis, a row a metric, with interval and tests.

        With ``samples`` models are compared sample by sample. Raises UsageError where nothing can be paired.
        """
        from seedfold.orchestrator.views.comparison import ComparisonRequest, compare_axis
        from seedfold.results.comparison.paired_metrics import to_frame

        request = ComparisonRequest(_as_tuple(metric), _as_tuple(split), where or "", samples)
        return to_frame(compare_axis(self._read_overview(), over, request).rows)

    def analysis(
        self,
        name: str,
        where: Where = None,
        *,
        ratios: Sequence[float] | None = None,
        methods: Names | None = None,
        zeros: Zeros | None = None,
        base_seed: int | None = None,
        splits: Mapping[str, str] | None = None,
        across: Across = None,
    ) -> pd.DataFrame:
        """Return a table of prevalence shift; parts that are not in the cache are computed on all cores.

        The table is quantification, quantification_error, calibration, performance or decisions; ``ratios`` are those
        of the largest to the smallest class in simulated deployments. ``splits`` is for studies with other names for
        dev_cal, dev_test and app_test: ``{"app_test": "clinic"}``. For a deployment without labels, ratio and
        prevalence are NaN.
        """
        from seedfold.orchestrator.views.prevalence_tables import compute_analysis
        from seedfold.results.prevalence.settings import AnalysisSettings

        settings = AnalysisSettings.from_options(
            ratios=ratios,
            methods=None if methods is None else _as_tuple(methods),
            zeros=zeros,
            base_seed=base_seed,
            splits=None if splits is None else AnalysisSettings.names_of_splits(splits),
        )
        analysis, finished = compute_analysis(
            self._read_overview(), name, settings, where or "", across_code=_is_across_code(across)
        )
        for note in finished.notes(self.name):
            warnings.warn(note, stacklevel=2)
        return analysis.table

    def report(self, out: str | Path | None = None, across: Across = None) -> Path:
        """Write the report, by default in the study's folder, and return its path."""
        from seedfold.orchestrator.views.report_page import write_study_report

        return write_study_report(self._read_overview(), Path(out).absolute() if out else None, _is_across_code(across))

    def job(self, job: str = "", /, **axes: Any) -> Job:
        """Return one job, named by the first characters of its id, by its address as text, or by its axes.

        ``study.job("1a2b3c")``, ``study.job("train seed=3 fold=1")`` and ``study.job(seed=3, fold=1)``; an axis with a
        dotted key is named by its last component. Raises UsageError if no job or more than one job fits.
        """
        words = [*job.split(), *axes_text(axes).split()]
        return Job(self.root, JobDetails(self.root, find_job(self.root, words, self.name)))

    # --- commands ----------------------------------------------------------------------------------------------

    def launch(
        self,
        *overrides: str,
        wait: bool = True,
        replace: bool = False,
        where: Where = None,
        rerun: str | None = None,
        accept_code: bool = False,
        many: bool = False,
        pilot: int | None = None,
        pilot_auto: bool = False,
    ) -> pd.DataFrame:
        """Start the jobs that have to run, wait for them unless ``wait`` is false, and return the status.

        ``rerun`` runs done jobs again: ``"stale"``, or a condition on their axes. ``accept_code`` records that today's
        code computes the same as that of done jobs. ``many`` accepts more than a million points. With
        ``pilot`` so many jobs of each stage and task run first, and the others are held until you call `release`; with
        ``pilot_auto`` they are released when the pilot jobs are done. If the wait is interrupted, running jobs write a
        checkpoint and stop. Raises UsageError for ``pilot_auto`` alone.
        """
        launched = launch(
            self.root,
            self._add_experiment(overrides),
            config_dirs=self.config_dirs,
            selection=_parse_selection(where),
            replace=replace,
            rerun=rerun,
            accept=accept_code,
            many=many,
            pilot=pilot_request(pilot, pilot_auto),
        )
        return self._wait_and_get_status(launched, wait)

    def resume(
        self,
        *overrides: str,
        where: Where = None,
        kinds: Sequence[str] = (),
        wait: bool = True,
        accept_code: bool = False,
        keep_cancelled: bool = False,
    ) -> pd.DataFrame:
        """Start the jobs that are neither done nor queued nor running, also failed ones; otherwise as `launch`.

        With ``keep_cancelled``, cancelled jobs stay cancelled.
        """
        launched = resume(
            self.root,
            self.name,
            overrides,
            selection=_parse_selection(where),
            kinds=kinds,
            keep_cancelled=keep_cancelled,
            accept=accept_code,
        )
        return self._wait_and_get_status(launched, wait)

    def rerun(self, *overrides: str, where: Where = None, stale: bool = False, wait: bool = True) -> pd.DataFrame:
        """Run the done jobs of a selection again, or only those that are ``stale``; otherwise as `launch`."""
        selection = _parse_selection(where)
        return self._wait_and_get_status(
            rerun(self.root, self.name, overrides, selection=selection, only_stale=stale), wait
        )

    def cancel(self, where: Where = None) -> pd.DataFrame:
        """Cancel the jobs that are not done, and return the status."""
        note = cancel(self.root, self.name, selection=_parse_selection(where)).note(self.name)
        if note:
            warnings.warn(note, stacklevel=2)
        return self.status()

    def hold(self, where: Where = None) -> pd.DataFrame:
        """Hold the jobs that have not begun: nothing begins them until `release`. Return the status."""
        hold(self.root, self.name, _parse_selection(where))
        return self.status()

    def release(self, where: Where = None, *, wait: bool = False) -> pd.DataFrame:
        """Let held jobs go on, those of a pilot as well, and return the status; ``wait`` waits for them first."""
        self._add_folder()
        _, launched = release(self.root, self.name, _parse_selection(where))
        return self._wait_and_get_status(launched, wait)

    def throttle(self, limit: int | None) -> pd.DataFrame:
        """Let at most ``limit`` jobs run at a time, any number for None, and return the status.

        Raises UsageError for a limit below 1.
        """
        if limit is not None and limit < 1:
            raise UsageError(f"throttle({limit}): must be at least 1, or None for any number")
        for problem in throttle(self.root, self.name, limit):
            warnings.warn(problem, stacklevel=2)
        return self.status()

    def _wait_and_get_status(self, launched: LaunchResult, wait: bool) -> pd.DataFrame:
        result = launched.advance_result
        for note in (*launched.notes, *((*result.problems, *result.refusals) if result else ())):
            warnings.warn(note, stacklevel=3)
        if wait:
            try:
                JobWatcher(self.root, launched.study, launched.jobs).wait(lambda progress: None)
            except KeyboardInterrupt:
                stop_workers(launched.study)
                raise
        return Study(launched.study.name, self.root).status()

    def _add_experiment(self, overrides: Sequence[str]) -> list[str]:
        """The overrides for the composer. Unless they name an experiment, it is the one with this study's name."""
        self._add_folder()
        names_experiment = any(override.split("=")[0] in {"experiment", "+experiment"} for override in overrides)
        return [*([] if names_experiment else [f"experiment={self.name}"]), *overrides]

    def _add_folder(self) -> None:
        """Let jobs import modules of the folder in which the notebook runs, as commands do."""
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)

    def _read_overview(self) -> Overview:
        return Overview(self.root, self.name, with_removed=self.with_removed)

    def _table_request(self, where: Where, across: Across, **options: Any) -> TableRequest:
        overview = self._read_overview()
        finished = find_by_code(overview, across_code=_is_across_code(across))
        if not finished.jobs:
            raise UsageError(f"{self.name}: no job is done yet; see status()")
        for note in finished.notes(self.name):
            warnings.warn(note, stacklevel=3)
        return TableRequest.of_study(overview, finished, where=where or "", **options)


def _parse_selection(where: Where) -> Selection:
    return Selection.parse([where] if where else [])


def _is_across_code(across: Across) -> bool:
    if across not in (None, "code"):
        raise UsageError(f"across: {across!r} is neither None nor 'code'")
    return across == "code"


def _as_tuple(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _jobs_frame(jobs: Sequence[Any], rows: Sequence[tuple[Any, ...]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    from seedfold.results.evaluation.axes import address_frame

    frame = address_frame(jobs)
    frame.insert(0, "job", [job.short_id for job in jobs])
    return pd.concat([frame, pd.DataFrame(rows, columns=columns, index=frame.index)], axis=1)
