from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from seedfold.jobs.errors import UsageError
from seedfold.results.ensembles.head_members import HeadMember, mean_curves_on_validation, read_members
from seedfold.results.ensembles.top_members import MemberChoice, TopMemberEnsembles, cross_fit, make_ensembles
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import probabilities
from seedfold.results.store.predictions import HeadPredictions

MakeRuns = Callable[..., list[FinishedJob]]
FOLDS, CASES, TESTED = 3, 45, 12
TRUTH = np.arange(CASES) // FOLDS % 2


@pytest.fixture
def make_runs(make_run: Callable[..., FinishedJob]) -> MakeRuns:
    """Publish ``settings`` times 3 folds with heads a and b; ``skill`` is how far apart their classes lie."""

    def make(settings: int = 4, skill: float = 1.0, labels: bool = False, seed: int = 1) -> list[FinishedJob]:
        draw = np.random.default_rng(seed)
        ids, test_ids = [f"c{i:02d}" for i in range(CASES)], [f"t{i:02d}" for i in range(TESTED)]
        runs = []
        for setting in range(settings):
            for fold in range(FOLDS):
                rows = np.arange(fold, CASES, FOLDS)
                heads = {
                    head: (draw.normal(size=len(rows)) + skill * (2 * TRUTH[rows] - 1) * setting / settings)[:, None]
                    for head in ("a", "b")
                }
                targets = np.ma.masked_array(np.arange(TESTED) % 2, mask=not labels)
                test = (test_ids, targets, {head: draw.normal(size=(TESTED, 1)) for head in ("a", "b")})
                splits = {"val": ([ids[row] for row in rows], TRUTH[rows], heads), "test": test}
                runs.append(make_run({"row": setting, "fold": fold}, splits))
        return runs

    return make


def logits(run: FinishedJob, split: str, head: str) -> Any:
    table = pd.read_parquet(run.folder / f"predictions.{split}.parquet")
    return table[table["head"] == head].set_index("sample_id")["logit_0"].to_numpy(dtype=float)


def ranked_by_hand(runs: list[FinishedJob], fold: int, least: float) -> list[tuple[FinishedJob, str]]:
    truth, found = TRUTH[fold::FOLDS], []
    for run in (run for run in runs if run.axes["fold"] == fold):
        for head in ("a", "b"):
            values = logits(run, "val", head)
            if ((values > 0) == truth).mean() >= least:
                found.append((roc_auc_score(truth, values), run, head))
    return [(run, head) for _, run, head in sorted(found, key=lambda each: -each[0])]


@pytest.mark.slow
def test_every_number_of_members_as_numpy_has_it(make_runs: MakeRuns) -> None:
    runs = make_runs(labels=True)
    made = make_ensembles(read_members(runs), MemberChoice(min_accuracy=0.6))
    best = [ranked_by_hand(runs, fold, 0.6) for fold in range(FOLDS)]
    table = made.score_table().set_index(["split", "chosen_on", "n"])["auroc"]
    count = max(map(len, best))
    assert count > min(map(len, best)) >= 3, "a fold with fewer members takes all it has"
    truth = np.concatenate([TRUTH[fold::FOLDS] for fold in range(FOLDS)])
    for n in range(1, count + 1):
        own = [np.mean([expit(logits(run, "val", head)) for run, head in found[:n]], axis=0) for found in best]
        assert table["val", "own fold", n] == pytest.approx(roc_auc_score(truth, np.concatenate(own)))
        everybody = [expit(logits(run, "test", head)) for found in best for run, head in found[:n]]
        expected = roc_auc_score(np.arange(TESTED) % 2, np.mean(everybody, axis=0))
        assert table["test", "own fold", n] == pytest.approx(expected)
    assert ("val", "own fold", count + 1) not in table.index


def test_each_case_is_predicted_once_by_members_of_its_own_fold(make_runs: MakeRuns) -> None:
    ranking = MemberChoice(min_accuracy=0.0).ranking(read_members(make_runs()))
    for number, pooled in enumerate(mean_curves_on_validation(ranking), start=1):
        assert sorted(pooled.sample_ids) == [f"c{i:02d}" for i in range(CASES)]
        for members in ranking.values():
            rows = [member.rows_by_split["val"] for member in members[:number]]
            mean = np.mean([expit(row.logits[:, 0].astype(float)) for row in rows], axis=0)
            place = [list(pooled.sample_ids).index(name) for name in rows[0].sample_ids]
            assert expit(np.diff(pooled.logits[place].astype(float))[:, 0]) == pytest.approx(mean, abs=1e-6)


def test_labels_of_the_test_cohort_may_be_unknown(make_runs: MakeRuns) -> None:
    made = make_ensembles(read_members(make_runs(labels=False)), MemberChoice())
    assert set(made.score_table()["split"]) == {"val"}
    assert len(made.curve_by_test_split["test"][made.n - 1].ids) == TESTED


@pytest.mark.slow
def test_what_is_chosen_on_its_own_score_looks_good_in_noise_and_the_honest_score_does_not(make_runs: MakeRuns) -> None:
    """Twelve heads that know nothing: the best of each fold score well, until others have to choose them."""
    published, honest = [], []
    for seed in range(5):
        table = make_ensembles(read_members(make_runs(6, 0.0, seed=seed)), MemberChoice(min_accuracy=0.3)).score_table()
        own = table[table["chosen_on"] == "own fold"]
        published.append(own["auroc"].max())
        honest.append(table[table["chosen_on"] == "other folds, n too"]["auroc"].item())
    assert np.mean(published) > 0.65
    assert abs(np.mean(honest) - 0.5) < 0.1


def test_what_a_fold_predicts_honestly_does_not_depend_on_its_own_labels(make_runs: MakeRuns) -> None:
    members = read_members(make_runs(6, 0.5))

    def flipped(member: HeadMember) -> HeadMember:
        rows = member.rows_by_split["val"]
        return replace(member, rows_by_split={**member.rows_by_split, "val": replace(rows, targets=1 - rows.targets)})

    changed = [flipped(member) if member.fold == "fold 1" else member for member in members]
    before, after = (cross_fit(each, MemberChoice(min_accuracy=0.0)) for each in (members, changed))
    assert before is not None
    assert after is not None
    own = np.asarray([int(name[1:]) % FOLDS == 1 for name in before.best.sample_ids])
    assert np.array_equal(before.best.logits[own], after.best.logits[own])
    assert before.n_by_fold["fold 1"] == after.n_by_fold["fold 1"]


@pytest.mark.parametrize("good", [1, 4])
def test_an_ensemble_of_as_many_as_other_folds_choose_is_as_good_on_test_rows_as_its_best_member(
    make_run: Callable[..., FinishedJob], good: int
) -> None:
    """Where one setting of four has learnt anything, its heads alone; where all have, more of them than one."""
    draw, runs, cases = np.random.default_rng(5), [], 240
    truth, ids = np.arange(cases) // FOLDS % 2, [f"c{i:03d}" for i in range(cases)]
    for setting in range(4):
        for fold in range(FOLDS):
            # Who has learnt nothing may be sure of it.
            rows, skill, noise = np.arange(fold, cases, FOLDS), *((1.2, 1.0) if setting < good else (0.0, 9.0))
            seen = {"val": (rows, f"v{fold}"), "test": (np.arange(cases), "t")}
            splits = {
                split: (
                    [f"{prefix}{ids[row]}" for row in at],
                    truth[at],
                    {h: (draw.normal(0, noise, len(at)) + skill * (2 * truth[at] - 1))[:, None] for h in ("a", "b")},
                )
                for split, (at, prefix) in seen.items()
            }
            runs.append(make_run({"row": setting, "fold": fold}, splits))
    members = read_members(runs)
    made = make_ensembles(members, MemberChoice(min_accuracy=0.0))
    assert made.n <= 2 if good == 1 else made.n > 2
    scores = [auc(made.curve_by_test_split["test"][made.n - 1]), auc(made.curve_by_test_split["test"][-1])]
    best = max(auc(member.rows_by_split["test"]) for member in members)
    assert scores[0] > best
    assert (scores[1] < best) == (good == 1), "all of them together are worse where most have learnt nothing"


def auc(head: HeadPredictions) -> float:
    return float(roc_auc_score(head.targets, probabilities(head.logits)[:, 1]))


def test_members_may_be_listed(make_runs: MakeRuns) -> None:
    runs = make_runs()
    members = read_members(runs)
    made: TopMemberEnsembles = make_ensembles(
        members, MemberChoice(members=("row=3", f"job={runs[0].id[:10]} head=b", "row=1 head=a"))
    )
    assert [len(found) for found in made.ranking.values()] == [4, 3, 3]
    with pytest.raises(UsageError, match=r"ensemble.members: 'row=3 head=c' is met by no head"):
        make_ensembles(members, MemberChoice(members=("row=3 head=c",)))
    fewer = make_ensembles(members, MemberChoice(members=("fold=0", "fold=2")))
    assert fewer.left_out == ["fold 1: none of its members is listed"]


def test_a_fold_without_an_eligible_head_is_named_and_left_out(make_runs: MakeRuns) -> None:
    members = read_members(make_runs(labels=True))

    def spoilt(member: HeadMember) -> HeadMember:
        rows = member.rows_by_split["val"]
        wrong = replace(rows, logits=np.stack([rows.targets, 1 - rows.targets], axis=1).astype(np.float32))
        return replace(member, rows_by_split={**member.rows_by_split, "val": wrong})

    without = [spoilt(member) if member.fold == "fold 1" else member for member in members]
    made = make_ensembles(without, MemberChoice(min_accuracy=0.5))
    assert made.left_out == ["fold 1: no member has an accuracy of 0.5, the best has 0.000; lower min_accuracy"]
    assert list(made.ranking) == ["fold 0", "fold 2"]
    own = [f"c{i:02d}" for i in range(CASES) if i % FOLDS != 1]
    assert sorted(made.validation_curve[0].sample_ids) == own
    assert made.cross_fitted is not None
    assert sorted(made.cross_fitted.best.sample_ids) == own
    table = made.score_table()
    assert table[table["split"] == "test"]["models"].tolist()[0] == 2


def test_the_best_by_a_loss_have_the_smallest(make_runs: MakeRuns) -> None:
    made = make_ensembles(read_members(make_runs()), MemberChoice(min_accuracy=0.0, rank_by="log_loss"))
    for members in made.ranking.values():
        losses = [member.metrics["log_loss"] for member in members]
        assert losses == sorted(losses, key=float)
    assert made.cross_fitted is not None
    table = made.score_table()
    honest = table[table["chosen_on"] == "other folds"].set_index("n")["log_loss"].astype(float)
    assert honest.idxmin() == made.n


def test_rows_of_the_number_that_is_used_show_the_ranking_metric_first(make_runs: MakeRuns) -> None:
    made = make_ensembles(read_members(make_runs(labels=True)), MemberChoice(min_accuracy=0.0, rank_by="log_loss", n=2))
    table, used = made.score_table(), made.used_score_table()
    assert list(used)[:4] == ["split", "chosen_on", "n", "log_loss"]
    assert set(used) == set(table)
    assert used["chosen_on"].tolist() == ["own fold", "other folds", "other folds, n too", "own fold"]
    assert used["n"].dropna().tolist() == [2, 2, 2]
    assert used["log_loss"].tolist() == table.loc[used.index, "log_loss"].tolist()


def test_what_cannot_be_chosen_is_told(make_runs: MakeRuns) -> None:
    members = read_members(make_runs())
    with pytest.raises(UsageError, match=r"fold 0: no member has an accuracy of 1.1, the best has 0\.\d+"):
        make_ensembles(members, MemberChoice(min_accuracy=1.1))
    with pytest.raises(UsageError, match=r"ensemble.rank_by: no metric 'auc'; known: accuracy"):
        make_ensembles(members, MemberChoice(rank_by="auc"))
    with pytest.raises(UsageError, match=r"ensemble.n: 99 is not between 1 and the most that a fold has, 8 members"):
        make_ensembles(members, MemberChoice(min_accuracy=0.0, n=99))
    with pytest.raises(UsageError, match=r"ensemble.n: 0 is not between 1"):
        make_ensembles(members, MemberChoice(min_accuracy=0.0, n=0))


def test_one_fold_alone_has_ensembles_and_no_honest_score(make_runs: MakeRuns) -> None:
    runs = [run for run in make_runs() if run.axes["fold"] == 0]
    made = make_ensembles(read_members(runs), MemberChoice(n=2))
    assert made.cross_fitted is None
    assert set(made.score_table()["chosen_on"]) == {"own fold"}
    used = made.member_table("auroc")
    assert used["used"].sum() == 2
    assert used["auroc"].is_monotonic_decreasing
