"""The job that writes the tables and figures of a whole study of prevalence shift, retrained models included.

It writes each table of `seedfold.results.prevalence.tables` as Parquet, ``spread.csv``, and the figures as SVG. The
parts of the tables are kept in the job's folder until the job is done: an attempt goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seedfold.jobs.work import ConfigFailure, RunInterrupted, Work
from seedfold.results.prevalence.charts import make_charts
from seedfold.results.prevalence.estimate import EstimateSettings
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.prevalence.tables import TABLE_NAMES, has_required_splits, make_analysis, table_file_name
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import Result, load_result
from seedfold.results.store.values import VALUES_FILE

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "torch", "seedfold.results.store.predictions", "matplotlib.figure")
DEPLOYMENT_SPLIT = "app_test"
_RATIO_AXIS = "imbalance_ratio"


@dataclass(frozen=True)
class _Parent:
    """One finished job: its stage in this study, its metadata, and its folder."""

    stage: str
    result: Result
    folder: Path

    @property
    def task(self) -> str:
        return str(self.result.axes["task"])

    @property
    def run(self) -> FinishedJob:
        result = self.result
        return FinishedJob(result.id, result.study, self.stage, result.axes, result.attempt, self.folder)


def run(work: Work) -> None:
    """Write the tables and figures; raises ConfigFailure if no parent predicts the splits of a study."""
    parents = [_Parent(work.stages[parent], load_result(folder), folder) for parent, folder in work.parents.items()]
    runs = [parent.run for parent in parents if has_required_splits(parent.result.files)]
    runs += [parent.run for parent in parents if VALUES_FILE in parent.result.files and parent.run not in runs]
    if not any(has_required_splits(parent.result.files) for parent in parents):
        raise ConfigFailure("analyse: no parent has predicted dev_cal, dev_test and app_test; see `after` of its stage")
    settings, cache, cores = _read_settings(work, parents), work.folder / "parts", work.description.resources.cpus
    tables = {}
    for number, name in enumerate(TABLE_NAMES):
        tables[name] = make_analysis(name, runs, settings, cache, cores, _make_progress(work, number)).table
        tables[name].to_parquet(
            work.outputs / table_file_name(name), index=False, compression="zstd", write_page_checksum=True
        )
    make_spread_table([parent for parent in parents if "task" in parent.result.axes]).to_csv(
        work.outputs / "spread.csv", index=False
    )
    for chart in make_charts(tables):
        (work.outputs / f"{chart.name}.svg").write_text(chart.to_svg_file(), encoding="utf-8")


def _read_settings(work: Work, parents: Sequence[_Parent]) -> AnalysisSettings:
    """Return the settings of the estimates, with the ratios of the study."""
    estimate = EstimateSettings.from_config(work.config)
    ratios = sorted({float(ratio) for parent in parents if (ratio := parent.result.axes.get(_RATIO_AXIS)) is not None})
    return AnalysisSettings(
        ratios=tuple(ratios) or None,
        methods=estimate.methods,
        zeros=estimate.zeros,
        epsilon=estimate.epsilon,
        base_seed=estimate.base_seed,
        retrained_priors=(work.config.get("analyse") or {}).get("retrained_priors", "original"),
    )


def _make_progress(work: Work, number: int) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        work.progress(number * total + done, len(TABLE_NAMES) * total)
        if work.stop_requested():
            raise RunInterrupted(f"table {number + 1} of {len(TABLE_NAMES)}: {done} of {total} parts")

    return report


def make_spread_table(parents: list[_Parent]) -> pd.DataFrame:
    """Return task, stage, metric, jobs, mean, std: how much a metric of the whole deployment test set varies.

    The values of one stage vary over the axes in which its jobs differ, such as training seeds or split seeds.
    ``std`` is the standard deviation of a sample (n - 1). It is empty for one job.
    """
    import pandas as pd

    rows = [
        {"task": parent.task, "stage": parent.stage, "metric": metric["metric"], "value": metric["value"]}
        for parent in parents
        for metric in parent.result.metrics
        if metric["split"] == DEPLOYMENT_SPLIT and "imbalance_ratio" not in parent.result.axes
    ]
    if not rows:
        return pd.DataFrame()
    grouped = pd.DataFrame(rows).groupby(["task", "stage", "metric"], sort=True)["value"]
    return grouped.agg(jobs="count", mean="mean", std="std").reset_index()
