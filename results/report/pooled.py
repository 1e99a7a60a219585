"""The out-of-fold part of a report: pooled metrics and curves per setting, and what is missing or went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.work import DataFailure
from seedfold.results.evaluation.axes import Group, axis_names, group_runs, key_of, last_component, without
from seedfold.results.evaluation.folds import having
from seedfold.results.evaluation.out_of_fold import OutOfFold
from seedfold.results.evaluation.query import split_files
from seedfold.results.report.figures import Drawn
from seedfold.results.report.headline import Scored, Table, pooled_table
from seedfold.results.report.plots import SERIES
from seedfold.results.store.finished_job import Job, Run
from seedfold.results.store.metrics import score
from seedfold.results.store.predictions import HeadPredictions


@dataclass(slots=True)
class PooledFolds:
    """A table, the curves to draw (of the first of ``every`` settings), and problems, one line each."""

    table: Table | None = None
    drawn: list[Drawn] = field(default_factory=list)
    every: int = 0
    problems: list[str] = field(default_factory=list)


def pool_folds(
    runs: Sequence[Run],
    over: Sequence[str],
    planned: Sequence[Job] | None,
    limit: int,
    compare: Sequence[str] | None = None,
) -> PooledFolds:
    """Score the pooled validation rows of the first ``limit`` settings: groups of runs over the axes ``over``.

    What cannot be pooled becomes a problem, not an error: a report shows what there is.
    """
    found = PooledFolds()
    able = [each.run for each in split_files(runs) if each.split == "val"]
    fold = next((axis for axis in axis_names(able) if last_component(axis) == "fold"), None)
    if fold is None:
        return found
    try:
        assembled = OutOfFold(able, fold, partial=True, planned=planned)
        found.problems = [str(gap) for gap in assembled.gaps]
        repetitions = _count_repetitions(planned or (), [*over, *assembled.over], assembled.over)
        _score(assembled, found, [*over, *assembled.over], limit, repetitions, compare)
    except (SeedfoldError, DataFailure) as error:
        found.problems.append(str(error))
    return found


def _count_repetitions(planned: Sequence[Job], over: Sequence[str], folds: Sequence[str]) -> Counter[str]:
    """Count the groups of folds that each setting should have, by the setting's key."""
    repetitions = {
        key_of(place.stage, without(place.axes, folds)): key_of(place.stage, without(place.axes, over))
        for place in having(planned, folds)
    }
    return Counter(repetitions.values())


def _score(
    assembled: OutOfFold,
    found: PooledFolds,
    over: Sequence[str],
    limit: int,
    repetitions: Counter[str],
    compare: Sequence[str] | None,
) -> None:
    settings = group_runs([run for group in assembled.groups for run in group.runs], over)
    found.every = len(settings)
    setting_of = {run.id: setting for setting in settings[:limit] for run in setting.runs}
    drawn_settings = {setting.key for setting in settings[:SERIES]}
    scored: dict[tuple[str, str], Scored] = {}
    drawn: dict[tuple[str, str], Drawn] = {}
    for group in assembled.groups:
        setting = setting_of.get(group.runs[0].id)
        if setting is None:
            continue
        for head, rows in assembled.rows(group).items():
            key = (setting.key, head)
            own = scored.setdefault(key, Scored(setting, head, expected=repetitions[setting.key]))
            _add(own, group, rows, assembled.is_complete(group))
            if setting.key in drawn_settings:
                drawn.setdefault(key, Drawn(setting, head)).add(rows)
    found.drawn = list(drawn.values())
    found.table = pooled_table(scored.values(), over, max(0, len(settings) - limit), compare)


def _add(own: Scored, group: Group, rows: HeadPredictions, complete: bool) -> None:
    own.scores.append(score(rows))
    own.samples.add(len(rows.ids))
    own.folds.add(len(group.runs))
    own.incomplete += not complete
