"""Fitting and prediction with estimators of scikit-learn's kind: ``fit(X, y)`` and ``predict_proba`` or a decision.

The values that fitting adds to an estimator are stored if they are plain arrays (linear models, naive Bayes). Other
estimators (trees) are fitted again when they have to predict again: fitting depends only on the configuration and the
data, and nothing is ever pickled.
"""

from __future__ import annotations

import inspect
import io
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import ConfigFailure, DataFailure, Work
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers.data.job_data import JobData
from seedfold.trainers.data.samples import Floats, Samples
from seedfold.trainers.learning.checkpoint_files import Checkpoints, FinishedFit
from seedfold.trainers.learning.validation import MAIN_HEAD
from seedfold.trainers.setup.settings import TrainerSettings

_log = logging.getLogger(__name__)

WEIGHTS_FILE = "estimator.npz"


def is_estimator(model: object) -> bool:
    """Return whether ``model`` is fitted by ``fit`` and scored by ``predict_proba`` or ``decision_function``."""
    scores = hasattr(model, "predict_proba") or hasattr(model, "decision_function")
    return scores and hasattr(model, "fit") and hasattr(model, "get_params")


def get_fitted(work: Work, estimator: Any, data: JobData) -> Any:
    """Return the fitted estimator: from the job's folder if it is finished there, else fitted and recorded."""
    files = Checkpoints(work.folder)
    if files.finished_fit() is not None and restore_estimator(estimator, work.folder / WEIGHTS_FILE):
        return estimator
    _fit_estimator(work, estimator, data)
    stored = _save_estimator(estimator, work.folder / WEIGHTS_FILE)
    files.record_finished(FinishedFit(1, None, {"last": WEIGHTS_FILE} if stored else {}, ()))
    return estimator


def _fit_estimator(work: Work, estimator: Any, data: JobData) -> None:
    from threadpoolctl import threadpool_limits

    weights = make_sample_weights(work, data)
    extra = {} if weights is None else {"sample_weight": weights}
    if extra and "sample_weight" not in inspect.signature(estimator.fit).parameters:
        raise ConfigFailure(
            f"model: {type(estimator).__name__} takes no sample weights; use loss.weighting=none and sampling=default"
        )
    with threadpool_limits(TrainerSettings.from_config(work.config).threads):
        try:
            estimator.fit(_flatten_inputs(data.train), data.train.targets, **extra)
        except ValueError as error:
            raise DataFailure(f"model: {type(estimator).__name__} cannot be fitted: {error}") from error


def make_sample_weights(work: Work, data: JobData) -> NDArray[np.float64] | None:
    """Return weights (n,) in place of ``loss.class_weights`` and balanced draws, or None if there are neither."""
    class_weights = (work.config.get("loss") or {}).get("class_weights")
    balanced = (work.config.get("sampling") or {}).get("draw") == "balanced"
    if class_weights is None and not balanced:
        return None
    per_class = np.ones(data.classes) if class_weights is None else np.asarray(class_weights, dtype=np.float64)
    if len(per_class) != data.classes:
        raise ConfigFailure(f"loss.class_weights: {len(per_class)} weights for {data.classes} classes")
    if balanced:
        counts = np.bincount(data.train.targets, minlength=data.classes)
        per_class = per_class * len(data.train) / (data.classes * np.maximum(counts, 1))
    return per_class[data.train.targets]


def predict_logits(estimator: Any, samples: Samples, classes: int) -> dict[str, Floats]:
    """Return logits {head: (n, classes)} float32: log probabilities, or decision values if it has none.

    A class that training never saw gets the smallest probability of the type. A binary decision value becomes one
    logit (n, 1).
    """
    if not hasattr(estimator, "predict_proba"):
        decision = np.asarray(estimator.decision_function(_flatten_inputs(samples)), dtype=np.float32)
        return {MAIN_HEAD: decision.reshape(len(samples), -1)}
    probabilities = np.zeros((len(samples), classes))
    probabilities[:, estimator.classes_] = estimator.predict_proba(_flatten_inputs(samples))
    return {MAIN_HEAD: np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float32)}


def _flatten_inputs(samples: Samples) -> Floats:
    if not isinstance(samples.inputs, np.ndarray):
        raise ConfigFailure("model: an estimator needs all inputs in memory, but these stay in files; use a network")
    return samples.inputs.reshape(len(samples), -1)


def _save_estimator(estimator: Any, path: Path) -> bool:
    """Write the values that fitting added to the estimator, if all are plain arrays and scalars."""
    parameters = estimator.get_params(deep=False)
    state = {name: np.asarray(value) for name, value in vars(estimator).items() if name not in parameters}
    if any(array.dtype.kind not in "biufU" for array in state.values()):
        return False
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **state)
    with replace_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return True


def restore_estimator(estimator: Any, path: Path) -> bool:
    """Give an estimator the values that fitting added to it; return whether they could be read."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        return False
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("%s cannot be read (%s), fitting again", path.name, error)
        return False
    for name, array in state.items():
        setattr(estimator, name, array if array.ndim else array.item())
    return True
