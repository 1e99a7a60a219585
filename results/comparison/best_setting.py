"""Which setting of a table of means is the best so far, which comes next, and how sure their order is.

The page, the report and the terminal say it with the words of this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import count_noun
from seedfold.results.comparison.paired_metrics import PairedMetric, compare_metric
from seedfold.results.comparison.pairs import Comparison, Pair, configured_folds
from seedfold.results.evaluation.axes import axis_names, format_axes, last_component, short_names
from seedfold.results.evaluation.folds import FOLD_AXIS
from seedfold.results.evaluation.metric_names import column_name
from seedfold.results.evaluation.out_of_fold import VALIDATION
from seedfold.results.evaluation.problem_axes import is_repetition
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import RETURNED
from seedfold.results.tables.best_values import lower_is_better

_MOST_BLOCKS = 6
_SMALL_P = 0.05


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of a table of means: ``mean`` is that of one metric over the ``runs``, ``text`` what the table shows.

    ``axes`` are those that are not averaged over, ``jobs`` says how many jobs there are: ``5 of 6``.
    """

    stage: str
    head: str
    axes: Mapping[str, Any]
    mean: float
    text: str
    jobs: str
    runs: Sequence[FinishedJob]


@dataclass(frozen=True, slots=True)
class BestSetting:
    """The best and the second of ``count`` settings that may be compared, ``within`` one problem, stage and head.

    ``over`` are the axes averaged over. ``paired`` is the best minus the next one over pairs of jobs that agree on
    these; None if there are no such pairs.
    """

    metric: str
    lower: bool
    within: Mapping[str, Any]
    count: int
    over: Sequence[str]
    compared: Sequence[str]
    best: Setting
    second: Setting
    paired: PairedMetric | None

    @property
    def text(self) -> str:
        """All of it in sentences."""
        within = f"{format_axes(self.within)}: " if self.within else ""
        first = f"best of {self.count} so far: {format_axes(self._axes(self.best))} with {self.metric}"
        second = f"next is {format_axes(self._axes(self.second))} with {self.second.text} ({_jobs(self.second)})"
        return f"{within}{first} {self.best.text} ({_jobs(self.best)}); {second}. {self.certainty}"

    @property
    def certainty(self) -> str:
        """How much better the best is than the next one, and whether that may be chance."""
        told = self._difference_text()
        is_tested = self.paired is not None and self.paired.p is not None
        more = f" That these are the first two of {self.count} is not taken into account."
        return told + (more if is_tested and self.count > 2 else "")

    def to_json(self) -> dict[str, Any]:
        """Return the form that the page reads."""
        return {
            "metric": self.metric,
            "settings": self.count,
            "over": list(short_names(self.over).values()),
            "within": dict(self.within),
            "best": self._setting_json(self.best),
            "next": self._setting_json(self.second),
            "difference": None if self.paired is None else _difference_json(self.paired),
            "certainty": self.certainty,
        }

    def _axes(self, setting: Setting) -> dict[str, Any]:
        short = short_names(self.compared)
        return {short[axis]: setting.axes[axis] for axis in self.compared if axis in setting.axes}

    def _setting_json(self, setting: Setting) -> dict[str, Any]:
        return {"axes": self._axes(setting), "text": setting.text, "jobs": setting.jobs}

    def _difference_text(self) -> str:
        if not all(map(is_repetition, self.over)):
            return "The means are over other settings as well: how sure their order is cannot be said."
        same = " and ".join(name.replace("_", " ") for name in short_names(self.over).values())
        found = self.paired
        if found is None or found.difference is None:
            return f"No two of their jobs have the same {same or 'settings'}: how sure their order is cannot be said."
        pairs = f"{count_noun(found.n, 'pair')} of jobs{same and f' with the same {same}'}"
        # Of an error, the smallest is the best: what is told is by how much it is better.
        sign = -1 if self.lower else 1
        gain = sign * found.difference
        if gain == 0:
            return f"They are equally good over {pairs}."
        word, sign = ("better", sign) if gain > 0 else ("worse", -sign)
        by = f"The first is {word} by {abs(gain):.4g} over {pairs}"
        if found.low is None or found.high is None:
            return f"{by}: too few to say whether that is chance."
        least, most = sorted((sign * found.low, sign * found.high))
        test = "" if found.p is None else f"; p {_p_text(found.p)}, {found.test}"
        return f"{by} (95 % interval {least:.4g} to {most:.4g}{test}): {_verdict(least, found.p)}"


def choose_column(columns: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the split and metric by which settings are compared; None if no name tells whether more is better.

    It is the first of validation, if there is any: who chooses by test samples expects too much of new ones.
    """
    known = [(split, metric) for split, metric in columns if lower_is_better(metric) is not None]
    return next((each for each in known if each[0] == VALIDATION), next(iter(known), None))


def find_best_settings(
    rows: Sequence[Setting],
    column: tuple[str, str],
    over: Sequence[str],
    problem: Sequence[str],
    compared: Sequence[str],
) -> list[BestSetting]:
    """Return the best of the ``rows`` of each stage, head and value of the axes ``problem``, if it has another row.

    The rows are means of ``column``, a split and a metric, over the axes ``over``; the axes ``compared`` name them.
    """
    lower = bool(lower_is_better(column[1]))
    blocks: dict[str, list[Setting]] = {}
    for row in rows:
        own = {axis: value for axis, value in row.axes.items() if axis in problem}
        blocks.setdefault(canonical_json([row.stage, row.head, own]), []).append(row)
    stages = {row.stage for row in rows}
    has_heads = len({(row.stage, row.head) for row in rows}) > len(stages)
    short = short_names(problem)
    found = []
    for block in [block for block in blocks.values() if len(block) > 1][:_MOST_BLOCKS]:
        best, second, *_ = sorted(block, key=lambda row: row.mean, reverse=not lower)
        within = {
            **({"stage": best.stage} if len(stages) > 1 else {}),
            **{short[axis]: best.axes[axis] for axis in problem if axis in best.axes},
            **({"head": best.head} if has_heads else {}),
        }
        paired = _compare(second, best, column, over)
        name = column_name(*column)
        found.append(BestSetting(name, lower, within, len(block), over, compared, best, second, paired))
    return found


def _jobs(setting: Setting) -> str:
    return "1 job" if setting.jobs == "1" else f"{setting.jobs} jobs"


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _verdict(least: float, p: float | None) -> str:
    """An interval of very few differences is too narrow: the test has to agree."""
    if least <= 0:
        return "that may be chance."
    return "hardly by chance." if p is None or p < _SMALL_P else "too few pairs to rule out chance."


def _difference_json(found: PairedMetric) -> dict[str, Any]:
    mean = {"mean": found.difference, "low": found.low, "high": found.high}
    return {**mean, "pairs": found.n, "p": found.p, "test": found.test}


def _compare(a: Setting, b: Setting, column: tuple[str, str], over: Sequence[str]) -> PairedMetric | None:
    if not all(map(is_repetition, over)):
        return None
    comparison, (split, metric) = _pair(a, b, over), column
    # What a job logged besides the predictions of its only head is in the row of this head.
    compared = (compare_metric(comparison, split, head, metric) for head in dict.fromkeys([b.head, RETURNED]))
    return next((found for found in compared if found.n), None)


def _pair(a: Setting, b: Setting, over: Sequence[str]) -> Comparison:
    """The pairs of two settings, which may differ in any number of axes."""
    of_a, of_b = _by_replicate(a, over), _by_replicate(b, over)
    pairs = [Pair(of_a[key], of_b[key], _replicate(of_a[key], over)) for key in of_a if key in of_b]
    folds = tuple(axis for axis in over if last_component(axis) == FOLD_AXIS)
    runs = [run for pair in pairs for run in pair.runs]
    return Comparison(
        stage=a.stage,
        over="setting",
        a=dict(a.axes),
        b=dict(b.axes),
        axes={},
        replicates=tuple(axis for axis in over if axis in axis_names(runs)),
        fold_axes=folds,
        pairs=tuple(pairs),
        expected=len(of_a.keys() | of_b.keys()),
        unpaired=(),
        folds=_fold_count(runs, folds),
    )


def _by_replicate(setting: Setting, over: Sequence[str]) -> dict[str, FinishedJob]:
    return {canonical_json(_replicate(run, over)): run for run in setting.runs}


def _replicate(run: FinishedJob, over: Sequence[str]) -> dict[str, Any]:
    return {axis: run.axes[axis] for axis in over if axis in run.axes}


def _fold_count(runs: Sequence[FinishedJob], folds: Sequence[str]) -> int | None:
    if not folds:
        return None
    configured = {count for run in runs if (count := configured_folds(run)) is not None}
    there = {canonical_json(run.axes.get(folds[0])) for run in runs}
    return configured.pop() if len(configured) == 1 else len(there)
