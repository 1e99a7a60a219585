"""Means of metrics, the values that each is a mean of, and the values that are missing.

Means whose rows would be over different problems, such as tasks that drop out at high imbalance ratios, are taken over
the problems that all rows have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seedfold.jobs.conditions import Where
from seedfold.results.evaluation.axes import (
    Selection,
    address_frame,
    address_key,
    axis_names,
    find_axes,
    format_axes,
    parse_where,
    select_rows,
    select_runs,
    short_names,
    without_axes,
)
from seedfold.results.evaluation.missing_values import (
    PlaceNames,
    Reasons,
    count_by_group,
    find_missing_jobs,
    find_undefined,
    missing_lines,
)
from seedfold.results.evaluation.problem_axes import is_repetition, problem_axes
from seedfold.results.evaluation.uneven_means import uneven_notes
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.published import MetricRecord, load_result

if TYPE_CHECKING:
    import pandas as pd

ROWS = ("split", "head", "metric")
NOTES = "notes"
"""Key of ``DataFrame.attrs`` under which a table says in words what is missing from it."""
_NAMED = 6
_COLUMNS = ("mean", "sd", "n", "expected", "ci_low", "ci_high", "undefined", "over")
"""Columns of a table of means besides stage, axes and `ROWS`; an axis with such a name is shown as ``axis.NAME``."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The jobs that a mean should be made of: ``jobs`` are all jobs of the study, done or not; None if unknown.

    ``reasons`` say why jobs have no result. ``compare`` names the axes of the methods, as `problem_axes` takes them.
    """

    jobs: Sequence[Job] | None = None
    reasons: Reasons = field(default_factory=dict)
    compare: Sequence[str] | None = None

    def select(self, where: Selection) -> list[Job]:
        """Return the jobs for which conditions hold."""
        return [] if self.jobs is None else select_runs(self.jobs, where, ROWS)[0]


def metric_frame(runs: Sequence[FinishedJob], where: Selection) -> pd.DataFrame:
    """Return metrics in long form: job, stage, axes, split, head, metric, value."""
    chosen, terms = select_runs(runs, where, ROWS)
    return select_rows(_long(chosen, [load_result(run.folder).metrics for run in chosen]), terms)


def _long(runs: Sequence[FinishedJob], metrics: Sequence[Sequence[MetricRecord]]) -> pd.DataFrame:
    import pandas as pd

    frame = address_frame(runs)
    frame.insert(0, "job", [run.short_id for run in runs])
    frame = frame.loc[frame.index.repeat([len(each) for each in metrics])].reset_index(drop=True)
    for name in (*ROWS, "value"):
        frame[name] = pd.Series(
            [each[name] for found in metrics for each in found],  # type: ignore[literal-required]
            dtype="float64" if name == "value" else "str",
        )
    return frame


def averaged_axes(runs: Sequence[FinishedJob]) -> list[str]:
    """Return the axes that are averaged over by default: folds, and axes whose name ends in ``seed``."""
    return [axis for axis in axis_names(runs) if is_repetition(axis)]


def metric_means(
    runs: Sequence[FinishedJob],
    over: Sequence[str] | None = None,
    where: Selection = None,
    plan: StudyPlan | None = None,
) -> pd.DataFrame:
    """Return mean, standard deviation and 95 % confidence interval of metrics over axes, grouped by all others.

    ``over`` defaults to `averaged_axes`. ``n`` counts the values, ``expected`` the jobs that should have brought one:
    those that the plan has, else those that are done. ``undefined`` counts values that are not a number. The interval
    is mean ± t(0.975, n - 1)·sd/√n; it takes the values as independent, which folds are not quite, since they share
    training data. ``sd`` and interval are null for n < 2.

    Rows that would be means over different tasks, or other values of an axis that describes the problem, are means
    over those that all rows have, where there are any. ``attrs["notes"]`` of the table says so, and what is missing.
    """
    chosen, terms = select_runs(runs, where, ROWS)
    metrics = [load_result(run.folder).metrics for run in chosen]
    plan = plan or StudyPlan()
    planned = plan.select(where)
    axes = axis_names(runs)
    averaged = averaged_axes(runs) if over is None else find_axes(runs, over)
    averaged = [axis for axis in axes if axis in averaged]
    long = _long(chosen, metrics)
    counts = [len(each) for each in metrics]
    long["_group"] = _repeated([address_key(run.stage, without_axes(run.axes, averaged)) for run in chosen], counts)
    problem = problem_axes(averaged, plan.compare)
    long["_problem"] = _repeated([_problem_text(run, problem) for run in chosen], counts)
    long = select_rows(long, terms)
    notes: list[str] = []
    if problem:
        long, notes = _over_common_problems(long, ", ".join(short_names(problem).values()))
    long = long.rename(columns={axis: axis_column(axis) for axis in axes})
    kept = [axis_column(axis) for axis in axes if axis not in averaged]
    keys = ["stage", *(axis for axis in kept if axis in long.columns), *ROWS]
    frame = _aggregate(long, keys)
    expected = count_by_group(planned, averaged) | count_by_group(chosen, averaged)
    frame["expected"] = [expected[group] for group in frame.pop("_group")]
    frame["over"] = ", ".join(averaged)
    frame = frame[[*keys, *_COLUMNS]]
    told = [[each for each in found if _holds(each, terms)] for found in metrics]
    missing = [*find_undefined(chosen, told), *find_missing_jobs(chosen, planned, plan.reasons)]
    on_jobs = Where(tuple(term for term in parse_where(where).terms if term not in terms))
    notes += uneven_notes(chosen, planned, averaged, on_jobs)
    frame.attrs[NOTES] = [*notes, *missing_lines(missing, PlaceNames([*planned, *chosen]))]
    return frame


def axis_column(axis: str) -> str:
    """The name of the column of an axis in a table of means."""
    return f"axis.{axis}" if axis in _COLUMNS else axis


def _repeated(texts: Sequence[str], counts: Sequence[int]) -> list[str]:
    return [text for text, count in zip(texts, counts, strict=True) for _ in range(count)]


def _problem_text(run: FinishedJob, problem: Sequence[str]) -> str:
    names = short_names(problem)
    return format_axes({names[axis]: run.axes[axis] for axis in problem if axis in run.axes})


def _holds(record: MetricRecord, terms: Sequence[Any]) -> bool:
    return all(term.holds(record[term.key]) for term in terms)  # type: ignore[literal-required]


def _aggregate(long: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    grouped = long.groupby(["_group", *keys], dropna=False, sort=False)["value"]
    frame = grouped.agg(mean="mean", sd="std", n="count", rows="size").reset_index()
    half = _half_width(frame["sd"], frame["n"])
    frame["ci_low"], frame["ci_high"] = frame["mean"] - half, frame["mean"] + half
    frame["undefined"] = frame.pop("rows") - frame["n"]
    return frame


def _half_width(sd: pd.Series[Any], n: pd.Series[Any]) -> pd.Series[Any]:
    # Every table needs this one quantile of Student's t, and scipy.stats takes most of a second to import.
    from scipy.special import stdtrit

    freedom = (n - 1).where(n > 1)
    return sd.mul(stdtrit(freedom.astype("float64"), 0.975)).div(n**0.5)


def _over_common_problems(long: pd.DataFrame, axes: str) -> tuple[pd.DataFrame, list[str]]:
    """Leave out rows of problems that some row of a table lacks; say which, once for all metrics where they agree."""
    import pandas as pd

    parts, told = [], dict[str, dict[str, None]]()
    for (_, _, _, metric), block in long.groupby(["stage", *ROWS], sort=False):
        defined = block[block["value"].notna()]
        problems = [set(own) for _, own in defined.groupby("_group", sort=False)["_problem"]]
        every = list(dict.fromkeys(defined["_problem"]))
        common = set(every).intersection(*problems)
        if common and len(common) < len(every):
            block = block[block["_problem"].isin(common) | block["value"].isna()]
        parts.append(block)
        if len(common) < len(every):
            told.setdefault(_problem_note(every, common, axes), {})[str(metric)] = None
    metrics = set(long["metric"])
    notes = [note if set(named) == metrics else f"{', '.join(named)}: {note}" for note, named in told.items()]
    return (pd.concat(parts).sort_index() if parts else long), notes


def _problem_note(every: Sequence[str], common: set[str], axes: str) -> str:
    if not common:
        return f"each row is over other values of {axes}, and no value is in all rows: compare them with care"
    absent = [problem for problem in every if problem not in common]
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    named = ", ".join(absent[:_NAMED])
    return f"means over the {len(common)} of {len(every)} values of {axes} that all rows have; without {named}{more}"
