from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.ensembles.blend_weights import choose_weights, choose_weights_per_fold
from seedfold.results.evaluation.fold_areas import mean_fold_area
from seedfold.results.stages import blend as blend_stage
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import auroc, probabilities
from seedfold.results.store.predictions import read_heads

Make = Callable[..., FinishedJob]
WEIGHTS = {"train": 0.3, "mean": 0.4}
COUNT = 24
TARGETS = np.arange(COUNT) // 3 % 2
IDS = np.array([f"s{row:02d}" for row in range(COUNT)])
TESTS = [f"t{row}" for row in range(5)]


def study(make_run: Make, changed: Callable[[str, Any], Any] = lambda stage, ids: TARGETS[ids]) -> list[FinishedJob]:
    """Two networks on three folds with one pass and with five, and a mean that knows more samples."""
    draw, runs = np.random.default_rng(3), []

    def logits(rows: Any) -> dict[str, Any]:
        return {"main": (draw.normal(size=(len(rows), 1)) + TARGETS[rows, None]).astype(np.float32)}

    for model in ("a", "b"):
        for fold in range(3):
            rows = np.arange(fold, COUNT, 3)
            for passes in (1, 5):
                axes = {"model": model, "fold": fold, "predict.tta": passes}
                val = (IDS[rows].tolist(), changed("train", rows), logits(rows))
                runs.append(make_run(axes, {"val": val, "test": (TESTS, None, logits(np.arange(5)))}))
    rows = np.random.default_rng(0).permutation(COUNT)
    more = {"mean": np.vstack([logits(rows)["main"], [[0.0]]]) @ np.array([[0.0, 1.0]], dtype=np.float32)}
    val = ([*IDS[rows], "earlier"], np.append(changed("mean", rows), 1), more)
    tests = (TESTS[::-1], None, {"mean": draw.normal(size=(5, 2)).astype(np.float32)})
    return [*runs, make_run({}, {"val": val, "test": tests}, stage="mean")]


def work(folder: Path, runs: Sequence[FinishedJob], **settings: Any) -> Work:
    staging = folder / "blend"
    staging.mkdir()
    given = {"blend": {"weights": WEIGHTS, **settings}}
    job = JobDescription("b" * 64, "study", "blend", {}, given, (), Resources(), "run", "f" * 64)
    return Work(job, 1, folder, staging, {run.id: run.folder for run in runs}, {run.id: run.stage for run in runs})


def p(run: FinishedJob, split: str) -> pd.Series:
    [head] = read_heads(run.folder / f"predictions.{split}.parquet")
    return pd.Series(probabilities(head.logits)[:, 1], index=head.sample_ids)


def members(runs: Sequence[FinishedJob], split: str) -> list[pd.Series]:
    """By hand: of the networks those with five passes, pooled over folds, or their mean on test samples."""
    found = []
    for model in ("a", "b"):
        own = [p(run, split) for run in runs if (run.axes.get("model"), run.axes.get("predict.tta")) == (model, 5)]
        found.append(pd.concat(own) if split == "val" else sum(own) / 3)  # type: ignore[arg-type]
    return [*found, p(runs[-1], split)]


@pytest.mark.slow
def test_given_weights_are_of_each_member_and_make_the_submission(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    asked = work(tmp_path, runs)
    blend_stage.run(asked)
    submitted = pd.read_csv(asked.outputs / "submission.csv").set_index("id")["target"]
    a, b, mean = members(runs, "test")
    assert submitted.to_numpy() == pytest.approx((0.3 * a + 0.3 * b + 0.4 * mean)[submitted.index].to_numpy())
    oof = pd.read_csv(asked.outputs / "oof.csv").set_index("id")
    a, b, mean = members(runs, "val")
    assert oof.index.tolist() == IDS.tolist()
    assert oof["pred"].to_numpy() == pytest.approx((0.3 * a + 0.3 * b + 0.4 * mean)[oof.index].to_numpy())
    assert oof["fold"].tolist() == [row % 3 for row in range(COUNT)]
    scores = pd.read_csv(asked.outputs / "auc.csv").set_index(["model", "fold"])["auroc"]
    assert scores["given", "all"] == pytest.approx(auroc(TARGETS == 1, oof["pred"].to_numpy()))
    [stored] = read_heads(asked.staging / "predictions.val.parquet")
    assert stored.head == "blend"
    assert np.exp(stored.logits[:, 1]) == pytest.approx(oof["pred"][stored.sample_ids].to_numpy(), rel=1e-6)


@pytest.mark.slow
def test_chosen_weights_predict_no_fold_that_chose_them(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    asked = work(tmp_path, runs, use="chosen")
    blend_stage.run(asked)
    weights = pd.read_csv(asked.outputs / "weights.csv")
    oof = pd.read_csv(asked.outputs / "oof.csv").set_index("id")
    table = pd.concat(members(runs, "val"), axis=1).loc[oof.index].to_numpy()
    for fold in range(3):
        own, others = (oof["fold"] == fold).to_numpy(), (oof["fold"] != fold).to_numpy()
        wanted = choose_weights(table[others], TARGETS[others] == 1, oof["fold"].to_numpy()[others])
        assert weights[f"chosen_without_{fold}"].to_numpy() == pytest.approx(wanted)
        assert oof["pred"][own].to_numpy() == pytest.approx(table[own] @ wanted)
    final = weights["chosen"].to_numpy()
    assert final == pytest.approx(choose_weights(table, TARGETS == 1, oof["fold"].to_numpy()))
    submitted = pd.read_csv(asked.outputs / "submission.csv").set_index("id")["target"]
    tests = pd.concat(members(runs, "test"), axis=1).loc[submitted.index].to_numpy()
    assert submitted.to_numpy() == pytest.approx(tests @ final)


def test_weights_of_a_fold_do_not_see_its_classes_and_are_no_worse_than_the_best_member() -> None:
    draw = np.random.default_rng(1)
    truth, folds = draw.random(300) < 0.3, np.arange(300) % 3
    table = draw.random((300, 4)) + truth[:, None] * np.array([0.1, 0.5, 0.4, 0.0])
    weights = choose_weights(table, truth, folds)
    assert weights.sum() == pytest.approx(1)
    best = max(mean_fold_area(truth, column, folds) for column in table.T)
    assert mean_fold_area(truth, table @ weights, folds) >= best
    before = choose_weights_per_fold(table, truth, folds)
    after = choose_weights_per_fold(table, np.where(folds == 1, ~truth, truth), folds)
    assert before[1].tolist() == after[1].tolist()
    assert before[0].tolist() != after[0].tolist()


def test_weights_do_not_reward_that_the_scales_of_folds_agree() -> None:
    """The first member ranks every fold better; the second is worse within folds, and on one scale in all of them."""
    draw = np.random.default_rng(2)
    truth, folds = draw.random(600) < 0.4, np.arange(600) % 3
    good = truth + draw.normal(scale=0.8, size=600) + 5.0 * folds
    poor = truth + draw.normal(scale=2.0, size=600)
    table = np.stack([good, poor], axis=1)
    assert auroc(truth, poor) > auroc(truth, good)
    assert choose_weights(table, truth, folds)[0] > 0.8
    with pytest.raises(UsageError, match="no fold has samples of both classes"):
        choose_weights(table, np.ones(600, dtype=bool), folds)


def without_a_fold(runs: list[FinishedJob]) -> list[FinishedJob]:
    return [run for run in runs if (run.axes.get("model"), run.axes.get("fold")) != ("b", 2)]


@pytest.mark.parametrize(
    ("keep", "settings", "says"),
    [
        (without_a_fold, {}, "model=b.*: 2 missing|fold 2 missing"),
        (lambda runs: runs[-1:], {}, "no parent has both folds"),
        (lambda runs: runs[:-1], {}, r"blend\.weights\.mean: no such parent"),
        (lambda runs: runs, {"weights": {"train": 1}}, "stage mean is missing"),
        (lambda runs: runs, {"weights": {"train": 0, "mean": 0}}, "all weights are 0"),
        (lambda runs: runs, {"weights": {"train": -1, "mean": 1}}, r"blend\.weights\.train: -1 is not a weight"),
        (lambda runs: runs, {"use": "best"}, r"blend\.use: 'best' is not one of given, chosen"),
        (lambda runs: runs, {"weight": {}}, r"blend\.weight: unknown key \(did you mean 'weights'\?\)"),
    ],
)
def test_what_makes_no_blend_is_told_and_leaves_nothing(
    make_run: Make,
    tmp_path: Path,
    keep: Callable[[list[FinishedJob]], list[FinishedJob]],
    settings: dict[str, Any],
    says: str,
) -> None:
    asked = work(tmp_path, keep(study(make_run)), **settings)
    with pytest.raises(ConfigFailure, match=says):
        blend_stage.run(asked)
    assert list(asked.staging.iterdir()) == []


def test_members_that_disagree_on_a_class_are_refused(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run, lambda stage, ids: TARGETS[ids] ^ (stage == "mean"))
    with pytest.raises(ConfigFailure, match="targets of the same samples differ"):
        blend_stage.run(work(tmp_path, runs))


@pytest.mark.slow
def test_predictions_made_elsewhere_take_part_in_the_submission_and_in_no_score(make_run: Make, tmp_path: Path) -> None:
    runs = study(make_run)
    external = pd.DataFrame({"id": TESTS[::-1], "target": np.linspace(0.1, 0.9, 5)})
    external.to_csv(tmp_path / "other.csv", index=False)
    plain = work(tmp_path, runs)
    blend_stage.run(plain)
    (tmp_path / "blend").rename(tmp_path / "plain")
    reads: list[Path] = []
    asked = replace(
        work(tmp_path, runs, external={"other.csv": 0.25}, external_folder=str(tmp_path)), reads=reads.append
    )
    blend_stage.run(asked)
    assert reads == [tmp_path / "other.csv"]
    submitted = pd.read_csv(asked.outputs / "submission.csv").set_index("id")["target"]
    without = pd.read_csv(tmp_path / "plain" / "outputs" / "submission.csv").set_index("id")["target"]
    wanted = 0.8 * without + 0.2 * external.set_index("id")["target"][without.index]
    assert submitted[without.index].to_numpy() == pytest.approx(wanted.to_numpy())
    for name in ("oof.csv", "auc.csv"):
        assert (asked.outputs / name).read_text() == (tmp_path / "plain" / "outputs" / name).read_text()
    weights = pd.read_csv(asked.outputs / "weights.csv").set_index("member")["submission"]
    assert weights.to_list() == pytest.approx([0.24, 0.24, 0.32, 0.2])
    assert weights.index[-1] == "other.csv"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["name,target", "t0,0.5"], "no column 'id'"),
        (["id,target", *(f"t{row},0.5" for row in range(4))], r"lacks 1 sample \(t4\)"),
        (["id,target", *(f"t{row},0.5" for row in range(6))], r"has more than the test samples: 1 sample \(t5\)"),
        (["id,target", *(f"t{row},0.5" for row in range(4)), "t3,0.5"], "sample t3 is there more than once"),
        (["id,target", *(f"t{row},0.5" for row in range(4)), "t4,"], "sample t4: 'target' is not a probability"),
        (["id,target", *(f"t{row},0.5" for row in range(4)), "t4,7"], "sample t4: 'target' is not a probability"),
    ],
)
def test_files_that_do_not_fit_are_told(make_run: Make, tmp_path: Path, lines: list[str], says: str) -> None:
    (tmp_path / "other.csv").write_text("\n".join(lines) + "\n")
    asked = work(tmp_path, study(make_run), external={"other.csv": 1}, external_folder=str(tmp_path))
    with pytest.raises(ConfigFailure, match=says):
        blend_stage.run(asked)
