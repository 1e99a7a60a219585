from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.results.evaluation.axes import group_runs
from seedfold.results.report import page as report
from seedfold.results.report.figures import MAX_SERIES, make_labels
from seedfold.results.report.page import write_report
from seedfold.results.report.pooled_curves import thin_curve
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import DamagedError
from seedfold.results.tables import result_tables as tables

Make = Callable[..., FinishedJob]
MakeMany = Callable[..., list[FinishedJob]]
VOID = {"meta", "br", "link", "img", "hr", "input", "wbr"}
FAILURE = {
    "id": "ab" * 32,
    "axes": {"seed": 9},
    "kind": "oom_host",
    "reason": "killed <at> 4 GB",
    "attempts": 2,
    "log": "jobs/ab/log.2.txt",
}


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, ids unique; collects ids, links, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.values: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        self._take(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._take(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text.append(data)

    def _take(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.values.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.links.append(value or "")


def epochs(n: int = 6) -> pd.DataFrame:
    fall = np.exp(-np.arange(n) / 3)
    return pd.DataFrame(
        {"epoch": range(n), "lr": 0.1, "train/loss": fall, "val/loss": fall + 0.1, "val/accuracy": 1 - fall}
    )


def study(make_run: Make, folds: int = 3, seeds: int = 2) -> list[FinishedJob]:
    draw = np.random.default_rng(0)
    truth = np.arange(30) // folds % 3
    runs = []
    for ratio in (1, 10):
        for seed in range(seeds):
            for fold in range(folds):
                rows = np.arange(fold, 30, folds)
                logits = draw.normal(size=(len(rows), 3)) + np.eye(3)[truth[rows]]
                val = ([f"s{i}" for i in rows], truth[rows], {"main": logits})
                axes = {"sampling.ratio": ratio, "seed": seed, "fold": fold}
                runs.append(make_run(axes, {"val": val, "test": val}, epochs=epochs(4 + fold)))
    return runs


def write(out: Path, runs: list[FinishedJob], **changes: Any) -> Page:
    given = {
        "states": {"done": len(runs), "failed": 1, "waiting": 0},
        "failures": [FAILURE],
        "overview": {"asks": "does <it> work?", "stages": {"train": {"jobs": 13, "done": 12, "blocked": 0}}},
    }
    write_report(out, study="digits", runs=runs, **{**given, **changes})
    return Page(out.read_text())


def test_a_report_is_one_page_that_fetches_nothing(make_run: Make, tmp_path: Path) -> None:
    out = tmp_path / "outputs" / "report.html"
    page = write(out, study(make_run))
    text = out.read_text()
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text.replace("</", ""))
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    assert page.tags.count("svg") == 5
    assert page.tags.count("script") == 1


@pytest.mark.slow
def test_figures_that_jobs_left_are_embedded_whole(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    left = runs[0].folder / "outputs" / "learning_curves.svg"
    left.parent.mkdir()
    left.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (left.parent / "large.png").write_bytes(bytes(9 * 1024**2))
    write(tmp_path / "report.html", runs)
    text = (tmp_path / "report.html").read_text()
    [(name, content)] = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)">', text)
    assert name == "train: learning curves"
    assert base64.b64decode(content) == left.read_bytes()
    assert "Left by stage train, " in text


def test_every_link_has_its_target(make_run: Make, tmp_path: Path) -> None:
    log = tmp_path / "jobs" / "log 1.txt"
    log.parent.mkdir()
    log.write_text("hello")
    page = write(tmp_path / "report.html", study(make_run), find_log=lambda run: log)
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids)
    references = {match for value in page.values for match in re.findall(r"url\(#([^)]+)\)", value)}
    assert references
    assert references <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"jobs/log%201.txt", "jobs/ab/log.2.txt"}


def test_every_number_leads_to_its_jobs(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    write(tmp_path / "report.html", runs)
    text = (tmp_path / "report.html").read_text()
    means = tables.metric_means(runs, where="split=test metric=accuracy")
    for _, row in means.iterrows():
        shown = f"{row['mean']:.3f} ± {row['sd']:.3f}"
        (target,) = set(re.findall(rf'<a href="#([^"]+)">{shown}</a>', text))
        listed = text[text.index(f'<details id="{target}">') :].split("</details>")[0]
        members = {run.id for run in runs if run.axes["sampling.ratio"] == row["sampling.ratio"]}
        assert set(re.findall(r'href="#job-([0-9a-f]+)"', listed)) == members
    assert {f"job-{run.id}" for run in runs} <= set(Page(text).ids)


@pytest.mark.slow
def test_pooled_metrics_are_those_of_the_table(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    page = write(tmp_path / "report.html", runs)
    pooled = tables.oof_metrics(runs)
    of_ratio = pooled[(pooled["metric"] == "auroc") & (pooled["sampling.ratio"] == 10)]["value"]
    assert f"{of_ratio.mean():.3f} ± {of_ratio.std():.3f}" in page.text
    assert f"{of_ratio.mean():.3f}" in page.text


def test_stale_jobs_failures_and_facts_are_shown_as_text(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    runs[0] = replace(runs[0], stale="data <x>.csv")
    page = write(tmp_path / "report.html", runs)
    text = " ".join(page.text)
    assert "killed <at> 4 GB" in text
    assert "does <it> work?" in text
    assert page.values.count("data <x>.csv") == 1
    assert page.text.count("stale") >= 2
    assert f"job-{FAILURE['id']}" in page.ids
    assert "blocked" not in text
    assert f"seedfold run {runs[0].short_id}" in page.text


def test_missing_folds_are_named(make_run: Make, tmp_path: Path) -> None:
    page = write(tmp_path / "report.html", study(make_run)[1:])
    assert "sampling.ratio=1 seed=0: fold 0 missing, 10 samples" in page.text
    assert "incomplete" in page.text


@pytest.mark.slow
def test_long_lists_are_cut_and_say_so(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = study(make_run)
    for name, limit in (("MAX_JOBS", 5), ("MAX_LISTED", 2), ("MAX_ROWS", 1)):
        monkeypatch.setattr(report, name, limit)
    page = write(tmp_path / "report.html", runs, failures=[{**FAILURE, "id": f"{i:064x}"} for i in range(7)])
    text = " ".join(" ".join(page.text).split())
    assert "12 finished jobs, of which the first 5 are listed" in text
    assert "and 5 more: seedfold status digits" in text
    assert "and 4 more" in text
    assert text.count("1 more group is left out here") == 2
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_reports_of_little(make_run: Make, tmp_path: Path) -> None:
    page = write(tmp_path / "empty.html", [], failures=[], overview={}, states={"waiting": 3})
    assert "svg" not in page.tags
    assert "No job has published a metric yet" in "".join(page.text)
    bare = make_run({"seed": 1})
    assert f"job-{bare.id}" in write(tmp_path / "bare.html", [bare]).ids


def test_several_stages_heads_and_targets_share_a_page(make_run: Make, tmp_path: Path) -> None:
    ids = ["a", "b", "c"]
    two = {"one": np.ones((3, 2)), "two": np.ones((3, 1))}
    runs = [
        make_run({"seed": 0, "fold": 0}, {"val": (ids, np.array([0, 1, 1]), two)}),
        make_run({"size": 3}, {"test": (ids, np.array([0.5, 1.0, 2.0]), {"y": np.ones((3, 1))})}, stage="weigh"),
        make_run({"size": 4}, {"test": (ids, np.array([0.5, 1.0, 2.0]), {"y": np.zeros((3, 1))})}, stage="weigh"),
        make_run({}, {"test": (ids, None, {"y": np.zeros((3, 1))})}, stage="apply"),
    ]
    page = write(tmp_path / "report.html", runs)
    assert {"train", "weigh", "one", "two", "rmse"} <= {text.strip() for text in page.text}
    assert "Rmse (test) against size" in page.text or "rmse (test) against size" in page.text


def test_what_cannot_be_pooled_is_said(make_run: Make, tmp_path: Path) -> None:
    split = {"val": (["a", "b"], np.array([0, 1]), {"main": np.zeros((2, 2))})}
    page = write(tmp_path / "report.html", [make_run({"fold": fold}, split) for fold in (0, 1)])
    assert any("2 samples are in more than one fold" in text for text in page.text)


def test_a_result_that_is_gone_is_an_error(make_run: Make, tmp_path: Path) -> None:
    run = replace(make_run({"seed": 1}), folder=tmp_path / "gone")
    with pytest.raises(DamagedError):
        write(tmp_path / "report.html", [run])
    assert not (tmp_path / "report.html").exists()


def test_more_groups_than_colours_are_cut(make_run: Make, tmp_path: Path) -> None:
    ids, truth = ["a", "b"], np.array([0, 1])
    runs = [
        make_run({"size": size, "model": f"m{model}"}, {"test": (ids, truth, {"main": np.eye(2)})})
        for model in range(MAX_SERIES + 2)
        for size in (1, 2)
    ]
    page = write(tmp_path / "report.html", runs)
    assert any(f"Shown are the first {MAX_SERIES} of {MAX_SERIES + 2} groups." in text for text in page.text)


def test_labels_name_only_what_differs(make_cross_validation: MakeMany) -> None:
    groups = group_runs(make_cross_validation(ratio=[1, 2], width=[3]), ["seed", "fold"])
    assert make_labels(groups) == ["ratio=1", "ratio=2"]


def test_thinned_curves_keep_their_ends_and_shape() -> None:
    x = np.linspace(0, 1, 5000)
    a, b = thin_curve(x, x**2)
    assert len(a) <= 300
    assert (a[0], a[-1], b[-1]) == (0, 1, 1)
    assert np.abs(np.interp(x, a, b) - x**2).max() < 1e-4


def scored(make_run: Make, value: float | None, **axes: Any) -> FinishedJob:
    named = {key.replace("__", "."): axis for key, axis in axes.items()}
    return make_run(named, metrics=[("val", "main", "accuracy", value), ("test", "main", "accuracy", 0.5)])


def test_cells_of_fewer_values_than_planned_say_so(make_run: Make, tmp_path: Path) -> None:
    runs = [scored(make_run, float("nan") if seed == 1 else 0.5 + seed / 10, seed=seed) for seed in range(4)]
    page = write(tmp_path / "report.html", runs[:3], planned=runs, reasons={runs[3].id: "failed (nan)"})
    assert {"0.600 ± 0.141 (2 of 4)", "0.500 ± 0.000 (3 of 4)", "3 of 4"} <= set(page.text)
    assert {"seed=1: val accuracy is nan", "seed=3: failed (nan)"} <= set(page.text)


def test_complete_cells_are_as_short_as_ever(make_run: Make, tmp_path: Path) -> None:
    runs = [scored(make_run, 0.5, seed=seed) for seed in range(3)]
    page = write(tmp_path / "report.html", runs, planned=runs)
    assert {"0.500 ± 0.000", "3"} <= set(page.text)
    assert not [text for text in page.text if re.search(r"\d of \d", text) and "5 of 6" not in text]


def best_cells(out: Path) -> list[str]:
    return re.findall(r'<td class="n best"><a href="[^"]+">([^<]+)</a>', out.read_text())


def test_the_best_is_marked_within_each_problem(make_run: Make, tmp_path: Path) -> None:
    scores = {("none", 1): 0.9, ("ratio", 1): 0.8, ("none", 10): 0.5, ("ratio", 10): 0.6}
    runs = [
        scored(make_run, score, seed=0, loss__weighting=loss, sampling__ratio=ratio, task__size=8)
        for (loss, ratio), score in scores.items()
    ]
    out = tmp_path / "report.html"
    page = write(out, runs)
    assert best_cells(out) == ["0.900", "0.600"]
    assert any("★ best over loss.weighting, within each value of sampling.ratio;" in text for text in page.text)
    told = [text.strip() for text in page.text if "so far:" in text]
    assert told[0].startswith("★ ratio=1: best of 2 so far: weighting=none with val.accuracy 0.900 (1 job); next is ")
    assert [text.split(":")[0] for text in told] == ["★ ratio=1", "★ ratio=10"]
    write(out, runs, compare=["sampling.ratio"])
    assert best_cells(out) == ["0.900", "0.800"]
    page = write(out, runs, compare=[])
    assert best_cells(out) == []
    assert not any("★" in text for text in page.text)


def test_a_line_is_over_the_repetitions_that_all_its_points_have(make_run: Make, tmp_path: Path) -> None:
    runs = [scored(make_run, 0.5, seed=seed, sampling__ratio=ratio) for ratio in (1, 10) for seed in range(3)]
    page = write(tmp_path / "report.html", runs[:-1], planned=runs)
    assert "2 of 3" in page.text
    assert any("that all its points have" in text for text in page.text)


AREAS = """model,fold,n,auroc,train_auroc
a,0,10,0.7,0.91
a,1,10,0.8,0.93
a,mean,20,0.75,0.92
a,all,20,0.74,
b,0,10,0.6,0.61
b,1,10,0.5,0.63
b,mean,20,0.55,0.62
b,all,20,0.56,
"""


def left(run: FinishedJob, name: str, content: str) -> None:
    file = run.folder / "outputs" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)


def svg(width: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" height="9pt" width="{width}"/>'


@pytest.mark.slow
def test_what_the_study_names_comes_first_and_only_once(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    left(runs[0], "auc.csv", AREAS)
    left(runs[0], "passes.svg", svg("200pt"))
    left(runs[0], "roc.svg", svg("600pt"))
    page = write(tmp_path / "report.html", runs, first=["train/auc.csv", "train/passes.svg", "train/other.csv"])
    text = " ".join(" ".join(page.text).split())
    assert text.index("What the study found") < text.index("Results") < text.index("Figures") < text.index("The study")
    assert "model mean of folds training samples folds pooled fold 0 fold 1 a 0.750 0.920 0.740 0.700 0.800" in text
    assert "No job has left train/other.csv so far." in text
    html = (tmp_path / "report.html").read_text()
    assert html.count('alt="train: passes"') == 1
    assert html.index('alt="train: passes"') < html.index("<h2>Results")
    assert re.findall(r'<figure class="wide">\s*<h3>([^<]+)', html) == ["train: roc"]


@pytest.mark.slow
def test_no_two_cards_have_one_title(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    for run in runs[:2]:
        left(run, "roc.svg", svg("200pt"))
    write(tmp_path / "report.html", runs)
    titles = re.findall(r"<h3>([^<]+)", (tmp_path / "report.html").read_text())
    assert len(titles) == len(set(titles))
    assert "train: roc (sampling.ratio=1 seed=0 fold=0)" in titles


def test_axes_that_tell_nothing_apart_leave_the_tables(make_run: Make, tmp_path: Path) -> None:
    draw, runs = np.random.default_rng(1), []
    for model, batch in (("small", 2), ("large", 5), ("huge", 5)):
        val = (["a", "b"], np.array([0, 1]), {"main": draw.normal(size=(2, 2))})
        runs.append(make_run({"model.name": model, "trainer.batch_size": batch, "loss": "dice"}, {"val": val}))
    page = write(tmp_path / "report.html", runs)
    text = " ".join(" ".join(page.text).split())
    assert "The same in all rows that have it: loss=dice. name also says batch_size." in text
    assert re.search(r"Every number leads to its jobs\. name val accuracy ", text)


@pytest.mark.slow
def test_learning_curves_of_many_groups_are_one(make_run: Make, tmp_path: Path) -> None:
    runs = []
    for group in range(MAX_SERIES + 1):
        for passes in (1, 3):
            val = (["a", "b"], np.array([0, 1]), {"main": np.eye(2)})
            axes = {"task": f"t{group}", "predict.tta": passes}
            runs.append(make_run(axes, {"val": val}, epochs=epochs().assign(**{"train/eval_loss": 0.1})))
    page = write(tmp_path / "report.html", runs)
    text = " ".join(" ".join(page.text).split())
    assert f"All {MAX_SERIES + 1} trainings of stage train together." in text
    assert "Shown are the first" not in text.partition("Learning curves")[2].partition("The study")[0]


def test_metrics_that_programs_return_and_log_have_tables_curves_and_maps(make_run: Make, tmp_path: Path) -> None:
    runs = []
    for lr in (0.001, 0.01, 0.1):
        for width in (8, 16):
            for seed in range(2):
                accuracy = 1 - lr + seed / 100
                logged = pd.DataFrame({"epoch": [0, 1], "train_loss": [1.0, 0.5], "my_score": [0.1, accuracy]})
                metrics = [("return", "return", "my_score", accuracy), ("return", "return", "my_score_best_step", 1.0)]
                axes = {"lr": lr, "width": width, "seed": seed}
                runs.append(make_run(axes, metrics=metrics, epochs=logged))
    page = write(tmp_path / "report.html", runs)
    text = " ".join(" ".join(page.text).split())
    assert "0.905 ± 0.007" in text
    assert "my score against lr" in text
    assert "my score over lr and width" in text
    assert "Each cell is the mean of 2 jobs, over all other axes." in text
    assert "my score by epoch" in text
    assert "train loss by epoch" in text
    assert "best step" not in text


def test_the_lowest_loss_and_the_highest_score_are_the_best(make_run: Make, tmp_path: Path) -> None:
    values = {"train_loss": 0.1, "val_loss": 0.2, "val_acc": 0.3, "who_knows": 0.4}
    runs = [
        make_run({"lr": lr}, metrics=[("return", "return", name, value + lr) for name, value in values.items()])
        for lr in (0.01, 0.5)
    ]
    page, out = write(tmp_path / "report.html", runs), tmp_path / "report.html"
    assert best_cells(out) == ["0.110", "0.210", "0.800"]
    # The figure shows the score of validation, and not what is logged first.
    assert "val acc against lr" in " ".join(page.text)


def test_what_is_logged_once_is_no_curve(make_run: Make, tmp_path: Path) -> None:
    logged = pd.DataFrame({"epoch": [0, 1], "loss": [1.0, 0.5], "final_loss": [np.nan, 0.5], "accuracy": [np.nan, 0.9]})
    runs = [make_run({"lr": lr}, metrics=[("return", "return", "loss", lr)], epochs=logged) for lr in (0.1, 0.2)]
    text = " ".join(write(tmp_path / "report.html", runs).text)
    assert "loss by epoch" in text
    assert "accuracy by epoch" not in text
    assert "Dashed" not in text


def test_the_legend_of_a_curve_says_what_it_is_of(make_run: Make, tmp_path: Path) -> None:
    logged = pd.DataFrame({"epoch": [0, 1], "train_loss": [1.0, 0.5], "test_loss": [1.0, 0.5]})
    runs = [make_run({"lr": lr}, metrics=[("return", "return", "loss", lr)], epochs=logged) for lr in (0.1, 0.2)]
    text = " ".join(write(tmp_path / "report.html", runs).text)
    assert "Dashed: training, solid: test loss." in text
    assert "all 2 jobs" in text


def test_what_a_program_logs_is_shown_beside_its_predictions(make_run: Make, tmp_path: Path) -> None:
    runs = [
        make_run(
            {"lr": lr},
            {"test": (["a", "b"], np.array([0, 1]), {"main": np.array([[lr], [1.0]])})},
            metrics=[("return", "return", "val_acc", 0.7654), ("val", "main", "dev_score", 0.4321)],
        )
        for lr in (0.01, 0.5)
    ]
    out = tmp_path / "report.html"
    page = write(out, runs)
    assert page.text.count("0.765") == page.text.count("0.432") == 4  # one row of means and one of jobs for each
    assert "0.765 (return)" not in out.read_text()
    assert "return" not in page.text


@pytest.mark.parametrize(("shared", "pooled"), [(False, True), (True, False)])
def test_folds_of_the_only_split_are_pooled_if_they_divide_the_samples(
    make_run: Make, tmp_path: Path, shared: bool, pooled: bool
) -> None:
    runs = []
    for fold in range(3):
        names = ["a", "b"] if shared else [f"a{fold}", f"b{fold}"]
        runs.append(make_run({"fold": fold}, {"test": (names, np.array([0, 1]), {"main": np.array([[0.0], [1.0]])})}))
    text = " ".join(write(tmp_path / "report.html", runs).text)
    assert ("Each sample of split test once, predicted by the run of its fold" in text) is pooled
    assert ("Rows of split test of all folds pooled" in text) is pooled
    assert ("Out of fold" in text) is pooled


@pytest.mark.slow
def test_a_chart_of_the_report_takes_the_place_of_the_same_file(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    left(runs[0], "drift.svg", svg("200pt"))
    left(runs[0], "regret.svg", svg("200pt"))
    charts = [report.Figure(name, "<svg></svg>", "", file=f"{name}.svg") for name in ("drift", "regret")]
    write(tmp_path / "report.html", runs, first=["train/drift.svg"], more_figures=charts)
    html = (tmp_path / "report.html").read_text()
    titles = re.findall(r"<h3>([^<]+)", html)
    assert (titles[0], titles.count("drift"), titles.count("regret")) == ("drift", 1, 1)
    assert "<img" not in html
