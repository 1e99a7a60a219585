"""The job that blends its parents: a weighted mean of their probabilities; settings are ``blend``.

Members are the settings of the parent stages (`seedfold.results.ensembles.blend_members`). There are two blends:

- ``given``: by ``blend.weights``, which has the weight of each member of a stage;
- ``chosen``: by weights chosen on out-of-fold predictions (`seedfold.results.ensembles.blend_weights`). For its
  out-of-fold predictions of a fold, the weights are chosen on the other folds, so that no score is computed on samples
  on which its weights were chosen.

Files of ``blend.external`` are test predictions that were made elsewhere; they are blended into the test predictions,
and no out-of-fold score knows of them (`seedfold.results.ensembles.external_predictions`).

It publishes the one that ``blend.use`` names as predictions (head ``blend``), and for people ``oof.csv``, a file of
test predictions, ``auc.csv``, ``weights.csv``, ``blend.svg``, and the figures of
`seedfold.results.stages.out_of_fold_figures`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.ensembles.blend_members import (
    DEVELOPMENT_SPLIT,
    TEST_SPLIT,
    Array,
    BlendMatrix,
    BlendMember,
    align_members,
    find_members,
)
from seedfold.results.ensembles.blend_weights import choose_weights, choose_weights_per_fold
from seedfold.results.ensembles.external_predictions import ExternalPredictions, read_external
from seedfold.results.evaluation.parent_jobs import parent_runs
from seedfold.results.stages.mean import log_areas, make_auc_table, make_test_table, write_mean_predictions

if TYPE_CHECKING:
    import pandas as pd

PRELOAD = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "matplotlib.figure",
    "sklearn.metrics",
    "seedfold.results.stages.blend_figure",
    "seedfold.results.stages.blend",
    "seedfold.results.stages.out_of_fold_figures",
)
BLEND_HEAD = "blend"
GIVEN_BLEND, CHOSEN_BLEND = "given", "chosen"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlendSettings:
    """``blend``: the weights of members, which blend is used, the axis of passes, the file and its columns.

    ``external`` has the weights of files made elsewhere, which lie in ``external_folder`` if their names are relative.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    external: Mapping[str, float] | None = None
    external_folder: str = ""
    use: str = GIVEN_BLEND
    passes: str = "predict.tta"
    file: str = "submission.csv"
    id: str = "id"
    target: str = "target"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BlendSettings:
        """Read ``config.blend``; raises ConfigFailure for an unknown key, an unknown blend, or a negative weight."""
        settings = read_settings(cls, config.get("blend"), "blend")
        if settings.use not in (GIVEN_BLEND, CHOSEN_BLEND):
            raise ConfigFailure(f"blend.use: {settings.use!r} is not one of {GIVEN_BLEND}, {CHOSEN_BLEND}")
        for key, weights in (("weights", settings.weights), ("external", settings.external or {})):
            for name, weight in weights.items():
                if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                    raise ConfigFailure(f"blend.{key}.{name}: {weight!r} is not a weight; give a number of at least 0")
        return settings

    @property
    def external_files(self) -> dict[Path, float]:
        """The weight of each file made elsewhere."""
        return {Path(self.external_folder, str(name)): float(weight) for name, weight in (self.external or {}).items()}


@dataclass(frozen=True)
class Blend:
    """The probabilities of a blend, and the weights of members: for test samples, and by fold where these differ."""

    development: Array
    test: Array
    weights: Array
    by_fold: Mapping[Any, Array]


def run(work: Work) -> None:
    """Write predictions, tables and figures; raises ConfigFailure if members lack folds or cannot be combined."""
    settings = BlendSettings.from_config(work.config)
    try:
        found = find_members(parent_runs(work), settings.passes)
        given_by_settings = make_given_weights(found, settings.weights)
        members = align_members(found)
        blends = {GIVEN_BLEND: _blend_given(members, given_by_settings), CHOSEN_BLEND: _blend_chosen(members)}
        external = _read_external(work, settings, members) if settings.external else None
    except UsageError as error:
        raise ConfigFailure(str(error)) from error
    _write_predictions(work, settings, members, blends[settings.use], external)
    _write_tables(work, settings, members, blends, external)


def _read_external(work: Work, settings: BlendSettings, members: BlendMatrix) -> ExternalPredictions:
    member_weight = sum(settings.weights[member.stage] for member in members.members)
    samples = members.to_predictions(TEST_SPLIT, members.test[:, 0]).first_member.sample_ids.tolist()
    found = read_external(settings.external_files, samples, (settings.id, settings.target), member_weight)
    for file in settings.external_files:
        work.reads(file)
    _log.info("made elsewhere: %.3f of the test predictions, and nothing of the scores", found.shares.sum())
    return found


def _write_predictions(
    work: Work, settings: BlendSettings, members: BlendMatrix, used: Blend, external: ExternalPredictions | None
) -> None:
    test = members.to_predictions(TEST_SPLIT, used.test if external is None else external.blend(used.test))
    write_mean_predictions(
        work, DEVELOPMENT_SPLIT, members.to_predictions(DEVELOPMENT_SPLIT, used.development), BLEND_HEAD
    )
    write_mean_predictions(work, TEST_SPLIT, test, BLEND_HEAD)
    make_test_table(test, settings.id, settings.target).to_csv(work.outputs / settings.file, index=False)


def _write_tables(
    work: Work,
    settings: BlendSettings,
    members: BlendMatrix,
    blends: Mapping[str, Blend],
    external: ExternalPredictions | None,
) -> None:
    from seedfold.results.stages.blend_figure import draw_blend
    from seedfold.results.stages.out_of_fold_figures import draw_oof_figures

    oof, weights = _make_oof_table(members, blends, settings), _make_weights_table(members.members, blends)
    scores = make_auc_table(oof, [*members.names, *blends])
    written = weights if external is None else _with_external(weights, blends[settings.use], external)
    for name, table in (("oof", oof), ("auc", scores), ("weights", written)):
        table.to_csv(work.outputs / f"{name}.csv", index=False)
    log_areas(scores)
    draw_blend(work.outputs / "blend.svg", scores, weights)
    draw_oof_figures(work.outputs, oof)


def _make_oof_table(members: BlendMatrix, blends: Mapping[str, Blend], settings: BlendSettings) -> pd.DataFrame:
    """Return sample, target, fold, probabilities by each member and blend, and ``pred``, by the blend that is used."""
    import pandas as pd

    ids = members.to_predictions(DEVELOPMENT_SPLIT, blends[settings.use].development).first_member.sample_ids
    table = pd.DataFrame({settings.id: ids, "target": members.targets, "fold": members.folds})
    columns = dict(zip(members.names, members.development.T, strict=True))
    columns |= {name: each.development for name, each in blends.items()}
    return table.assign(**columns, pred=blends[settings.use].development).sort_values(settings.id, ignore_index=True)


def make_given_weights(members: Sequence[BlendMember], weights: Mapping[str, float]) -> Array:
    """Return weights that sum to 1; raises UsageError for a stage without a weight, or a weight without a stage."""
    stages = {member.stage for member in members}
    for stage in weights:
        if stage not in stages:
            raise UsageError(f"blend.weights.{stage}: no such parent{did_you_mean(stage, stages)}")
    for stage in sorted(stages - set(weights)):
        raise UsageError(f"blend.weights: stage {stage} is missing; give the weight of each of its members")
    unscaled = np.array([float(weights[member.stage]) for member in members])
    if not unscaled.sum():
        raise UsageError("blend.weights: all weights are 0; make one of them larger")
    return np.asarray(unscaled / unscaled.sum())


def _blend_given(members: BlendMatrix, weights: Array) -> Blend:
    return Blend(members.development @ weights, members.test @ weights, weights, {})


def _blend_chosen(members: BlendMatrix) -> Blend:
    positive, numbers = members.targets == 1, np.unique(members.folds)
    by_fold = choose_weights_per_fold(members.development, positive, members.folds)
    out_of_fold = (members.development * by_fold[np.searchsorted(numbers, members.folds)]).sum(axis=1)
    weights = choose_weights(members.development, positive, members.folds)
    return Blend(out_of_fold, members.test @ weights, weights, dict(zip(numbers.tolist(), by_fold, strict=True)))


def _make_weights_table(members: Sequence[BlendMember], blends: Mapping[str, Blend]) -> pd.DataFrame:
    """Return member, stage, and weight in each blend; weights ``chosen_without_F`` predict fold F."""
    import pandas as pd

    columns: dict[str, Any] = {"member": [each.name for each in members], "stage": [each.stage for each in members]}
    for name, blend in blends.items():
        columns[name] = blend.weights
        columns |= {f"{name}_without_{fold}": weights for fold, weights in blend.by_fold.items()}
    return pd.DataFrame(columns)


def _with_external(weights: pd.DataFrame, used: Blend, external: ExternalPredictions) -> pd.DataFrame:
    """Return the table with a row for each file, and the column ``submission``: the weights in the test predictions."""
    import pandas as pd

    rows = pd.DataFrame({"member": external.files, "stage": "external", "submission": external.shares})
    members = weights.assign(submission=used.weights * (1 - external.shares.sum()))
    return pd.concat([members, rows], ignore_index=True)
