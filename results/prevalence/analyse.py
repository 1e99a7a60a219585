"""The job that puts a whole study of prevalence shift into tables: what was estimated, and what retraining is worth.

It leaves ``quantification.csv``, ``performance.csv`` and ``spread.csv`` (see the functions that make them) and figures
of the first two. Jobs that had nothing to do, since a ratio was impossible, have no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.metrics import CLASSIFICATION, classification, log_probabilities
from seedfold.results.prevalence.estimate import TABLE, EstimateSettings
from seedfold.results.prevalence.members import Predicted, read_members
from seedfold.results.prevalence.scaling import ImpossibleScaling, resample
from seedfold.results.store import Result, load_result

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "torch", "seedfold.results.predictions", "matplotlib.figure")
METRICS = ("accuracy", "balanced_accuracy", "mcc", "auroc")
DEPLOYMENT = "app_test"


@dataclass(frozen=True)
class _Parent:
    """One finished job: its stage in this study, what it says of itself, and its folder."""

    stage: str
    result: Result
    folder: Path

    @property
    def task(self) -> str:
        return str(self.result.axes["task"])


def run(work: Work) -> None:
    """Write the tables and figures; raises ConfigFailure where no parent estimated or predicted anything."""
    known = [_Parent(work.stages[parent], load_result(folder), folder) for parent, folder in work.parents.items()]
    parents = [parent for parent in known if "task" in parent.result.axes]
    settings = EstimateSettings.of(work.config)
    tables = {
        "quantification": quantification(parents),
        "performance": performance(parents, settings.base_seed, work.progress),
        "spread": spread(parents),
    }
    if all(table.empty for table in tables.values()):
        raise ConfigFailure("analyse: no parent has left estimates or predictions; see `after` of its stage")
    for name, table in tables.items():
        table.to_csv(work.staging / f"{name}.csv", index=False)
    _figures(work.staging, tables["quantification"], tables["performance"])


def quantification(parents: list[_Parent]) -> pd.DataFrame:
    """Return task, ratio, n, method, class, prevalence, estimate: one row a class, from every job that estimated."""
    import pandas as pd

    from seedfold.results.values import read_value

    found = []
    for parent in parents:
        if not (parent.folder / TABLE).exists():
            continue
        table = pd.read_csv(parent.folder / TABLE)
        table.insert(0, "task", parent.task)
        table.insert(1, "ratio", float(read_value(parent.folder, "ratio")))
        table.insert(2, "n", int(read_value(parent.folder, "n")))
        found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def performance(
    parents: list[_Parent], base_seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> pd.DataFrame:
    """Return task, ratio, stage, seed, split_seed, metric, value on the deployment test set at each ratio.

    A job that trained for one ratio is scored at that ratio, the others at every ratio that is possible.
    """
    import pandas as pd

    predicted = [parent for parent in parents if _predicts(parent)]
    ratios = sorted({float(ratio) for parent in parents if (ratio := parent.result.axes.get("imbalance_ratio"))})
    rows: list[dict[str, Any]] = []
    for number, parent in enumerate(predicted):
        progress(number, len(predicted))
        own = parent.result.axes.get("imbalance_ratio")
        known = read_members([parent.folder], DEPLOYMENT)
        for ratio in [float(own)] if own is not None else ratios:
            rows += _scores(parent, known, ratio, base_seed)
    return pd.DataFrame(rows)


def _predicts(parent: _Parent) -> bool:
    return any(file.startswith(f"predictions.{DEPLOYMENT}.") for file in parent.result.files)


def _scores(parent: _Parent, known: Predicted, ratio: float, base_seed: int) -> Iterator[dict[str, Any]]:
    try:
        sample = known.take(resample(known.targets, known.classes, ratio, base_seed))
    except ImpossibleScaling:
        return
    scores = classification(sample.targets, log_probabilities(sample.logits))
    place = {"task": parent.task, "ratio": ratio, "stage": parent.stage, **_seeds(parent.result.config)}
    for metric in METRICS:
        assert metric in CLASSIFICATION
        yield {**place, "metric": metric, "value": scores[metric]}


def _seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": config.get("seed"), "split_seed": config.get("split_seed")}


def spread(parents: list[_Parent]) -> pd.DataFrame:
    """Return task, stage, metric, jobs, mean, std: how much a metric of the whole deployment test set varies.

    Over training seeds in one stage, over split seeds in another: over whatever the jobs of a stage differ in.
    ``std`` is that of a sample (n - 1), empty for one job.
    """
    import pandas as pd

    rows = [
        {"task": parent.task, "stage": parent.stage, "metric": metric["metric"], "value": metric["value"]}
        for parent in parents
        for metric in parent.result.metrics
        if metric["split"] == DEPLOYMENT and "imbalance_ratio" not in parent.result.axes
    ]
    if not rows:
        return pd.DataFrame()
    grouped = pd.DataFrame(rows).groupby(["task", "stage", "metric"], sort=True)["value"]
    return grouped.agg(jobs="count", mean="mean", std="std").reset_index()


def _figures(folder: Path, quantified: pd.DataFrame, performed: pd.DataFrame) -> None:
    if not quantified.empty:
        error = (quantified["estimate"] - quantified["prevalence"]).abs()
        totals = quantified.assign(error=error).groupby(["task", "method", "ratio"])["error"].sum()
        mean = totals.groupby(["method", "ratio"]).mean().unstack("method")
        _lines(folder / "quantification.svg", mean, "absolute error of estimated prevalences, mean over tasks")
    if not performed.empty:
        balanced = performed[performed["metric"] == "balanced_accuracy"]
        mean = balanced.groupby(["stage", "ratio"])["value"].mean().unstack("stage")
        _lines(folder / "performance.svg", mean, "balanced accuracy in deployment, mean over tasks")


def _lines(file: Path, table: pd.DataFrame, label: str) -> None:
    """One line a column over the index, which are ratios."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in table.columns:
        axes.plot(table.index, table[name], marker="o", markersize=3, label=str(name))
    axes.set_xlabel("imbalance ratio of the deployment")
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file)
