"""Finds weights of an earlier training, in this study or another, to predict without training."""

from __future__ import annotations

from pathlib import Path

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.trainers.setup.settings import PredictSettings


def find_fit_folder(work: Work, prediction: PredictSettings) -> Path:
    """Return the folder of the job's fit: its own, or with ``predict.weights: FOLDER`` the one in another study.

    Raises ConfigFailure if that study has not trained with this configuration.
    """
    weights_path = prediction.weights_path
    if weights_path is None:
        return work.folder
    if weights_path.is_file():
        return weights_path.parent.absolute()
    fit = work.description.fit
    folder = weights_path / "jobs" / fit[:2] / fit
    if not folder.is_dir():
        raise ConfigFailure(
            f"predict.weights: {weights_path} has no training with this configuration; give the folder of a study "
            "(ROOT/STUDY) that was launched with the same settings, except predict and paths"
        )
    return folder.absolute()


def refuse_training(prediction: PredictSettings) -> None:
    """Raise ConfigFailure if a job should only predict, but there are no weights to predict from."""
    if prediction.weights_path is not None:
        raise ConfigFailure(f"predict.weights: {prediction.weights_path} holds no finished training that can be read")
    if prediction.source:
        raise ConfigFailure(
            "predict.source: nothing has been trained with this configuration under this root; launch the study "
            "without it first, or say where the weights are (predict.weights)"
        )
