"""ROC and precision-recall curves and confusions of a study, computed as those of the report are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.finished_jobs import find_by_code
from seedfold.orchestrator.state.selecting_conditions import whole_number
from seedfold.results.evaluation.axes import Group, axis_names, group_runs, last_component, select_runs
from seedfold.results.evaluation.out_of_fold import VALIDATION, choose_split
from seedfold.results.evaluation.query import split_files
from seedfold.results.report.figures import make_labels
from seedfold.results.report.out_of_fold_section import pool_folds
from seedfold.results.report.plots import MAX_SERIES
from seedfold.results.report.pooled_curves import PooledCurves
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.predictions import read_heads
from seedfold.results.tables.result_tables import averaged_axes

_MOST_READ = 400
"""Of how many jobs the predictions are read where nothing is pooled over folds."""
_KINDS = ("roc", "pr")


def make_evaluation(study: KeptStudy, where: Sequence[str], split: str | None) -> dict[str, Any]:
    """Return the curves of the first settings; only a note that says why if there are none.

    ``split`` is by default the validation split, whose folds are pooled, as in the report.
    """
    version = study.snapshot().version
    return study.once(version, ("evaluation", tuple(where), split), lambda: _evaluate(study, " ".join(where), split))


def _evaluate(study: KeptStudy, where: str, split: str | None) -> dict[str, Any]:
    with study.long_reading() as overview:
        finished, compare = find_by_code(overview).jobs, overview.report_settings.compare
        planned = list(overview.jobs_by_address().values())
    runs, _ = select_runs(finished, where) if finished else (finished, ())
    files = split_files(runs)
    splits = list(dict.fromkeys(each.split for each in files))
    if not splits:
        return {"note": "no finished job has predictions", "splits": []}
    with_predictions = [run for run in runs if run.id in {each.run.id for each in files}]
    chosen = split or (VALIDATION if VALIDATION in splits else choose_split(with_predictions))
    if chosen not in splits:
        return {"note": f"no job has the split {chosen}; there are: {', '.join(splits)}", "splits": splits}
    notes: list[str] = []
    curves: list[PooledCurves] = []
    if chosen == choose_split(with_predictions) and _has_folds(with_predictions):
        places, _ = select_runs(planned, where)
        pooled = pool_folds(with_predictions, averaged_axes(with_predictions), places, MAX_SERIES, compare)
        curves, notes = pooled.curves, pooled.problems
        notes += _cut(pooled.setting_count)
    if not curves:
        curves, more = _curves_of_runs([each.run for each in files if each.split == chosen], chosen)
        notes += more
    return {"splits": splits, "split": chosen, **_to_json(curves, notes)}


def _has_folds(runs: Sequence[Job]) -> bool:
    return any(last_component(axis) == "fold" for axis in axis_names(runs))


def _cut(total: int) -> list[str]:
    return [f"shown are the first {MAX_SERIES} of {total} settings"] if total > MAX_SERIES else []


def _curves_of_runs(runs: Sequence[FinishedJob], split: str) -> tuple[list[PooledCurves], list[str]]:
    """Return the curves of each setting: the mean of the curves of its jobs."""
    groups = group_runs(runs, averaged_axes(runs))
    notes, found, read = _cut(len(groups)), dict[tuple[str, str], PooledCurves](), 0
    for group in groups[:MAX_SERIES]:
        own = group.runs[: _MOST_READ // MAX_SERIES]
        read += len(own)
        for run in own:
            for rows in read_heads(run.folder / f"predictions.{split}.parquet"):
                key = group.address_text, rows.head
                found.setdefault(key, PooledCurves(group, rows.head, split=split)).add(rows)
    total = sum(len(group.runs) for group in groups[:MAX_SERIES])
    if read < total:
        notes.append(f"computed from the first {read} of {total} jobs")
    return list(found.values()), notes


def _to_json(curves: Sequence[PooledCurves], notes: Sequence[str]) -> dict[str, Any]:
    names = _names(curves)
    confusions = [_confusion(each, name) for each, name in zip(curves, names, strict=True) if each.confusions]
    found: dict[str, Any] = {
        kind: [_curve(each, kind, name) for each, name in zip(curves, names, strict=True) if kind in each.curves]
        for kind in _KINDS
    }
    if not any(found.values()) and not confusions:
        notes = [*notes, "predictions of numbers have no such curves"]
    return {
        **found,
        "confusion": confusions[0] if confusions else None,
        "confusions": confusions,
        **({"note": "; ".join(notes)} if notes else {}),
    }


def _names(curves: Sequence[PooledCurves]) -> list[str]:
    heads = len({each.head for each in curves}) > 1
    labels = make_labels([_with_whole_numbers(each.group) for each in curves])
    return [f"{label}, head {each.head}" if heads else label for each, label in zip(curves, labels, strict=True)]


def _with_whole_numbers(group: Group) -> Group:
    return replace(group, axes={name: whole_number(value) for name, value in group.axes.items()})


def _curve(curves: PooledCurves, kind: str, label: str) -> dict[str, Any]:
    line = curves.mean_line(0, kind)
    return {
        "label": label,
        "auc": curves.mean_area(kind),
        "points": [list(point) for point in zip(line.x.tolist(), line.y.tolist(), strict=True)],
    }


def _confusion(curves: PooledCurves, label: str) -> dict[str, Any]:
    total = sum(curves.confusions[1:], curves.confusions[0])
    return {"label": label, "labels": [str(number) for number in range(len(total))], "counts": total.tolist()}
