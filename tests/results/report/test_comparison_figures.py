"""The report draws how values of an axis differ, within each problem, and says over which pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seedfold.results.report.comparison_figures import comparison_figures
from seedfold.results.report.page import write_report
from seedfold.results.report.plots import MAX_SERIES
from seedfold.results.store.finished_job import FinishedJob

MakeMany = Callable[..., list[FinishedJob]]


def test_methods_are_compared_within_each_problem(make_cross_validation: MakeMany, tmp_path: Path) -> None:
    axes = {"loss": ("ce", "focal"), "sampling.ratio": (1, 10)}
    runs = make_cross_validation(**axes)
    [figure] = comparison_figures(runs)
    assert figure.title == "Difference in balanced accuracy (test) by loss"
    assert [entry.label for entry in figure.legend] == ["ce → focal, ratio=1", "ce → focal, ratio=10"]
    assert all("(6 of 6)" in entry.value for entry in figure.legend)
    assert "corrected resampled t-test" in figure.caption
    assert "same seed and fold" in figure.caption
    out = tmp_path / "report.html"
    write_report(out, study="s", runs=runs, states={}, failures=[], overview={}, more_figures=[figure])
    text = out.read_text()
    for entry in figure.legend:
        assert entry.group is not None
        assert len(entry.group.runs) == 12
        assert text.count(f'id="{entry.anchor}"') == 1


def test_a_study_may_say_what_it_compares(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(**{"loss": ("ce", "focal"), "sampling.ratio": (1, 10)})
    [figure] = comparison_figures(runs, compare=["ratio"])
    assert [entry.label for entry in figure.legend] == ["1 → 10, loss=ce", "1 → 10, loss=focal"]


def test_seeds_alone_are_tested_by_signed_ranks_and_many_comparisons_are_cut(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=(0, 1, 2), folds=1, lr=(1, 2, 3, 4, 5))
    [figure] = comparison_figures([run for run in runs if run.axes["fold"] == 0])
    assert len(figure.legend) == MAX_SERIES
    assert "Wilcoxon's signed rank test" in figure.caption
    assert f"Shown are the first {MAX_SERIES} of 10 comparisons." in figure.caption


def test_what_cannot_be_paired_has_no_figure(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(loss=("ce", "focal"))
    alone = [run for run in runs if (run.axes["loss"] == "ce") == (run.axes["seed"] == 0)]
    assert list(comparison_figures(alone)) == []
    assert list(comparison_figures(make_cross_validation())) == []
