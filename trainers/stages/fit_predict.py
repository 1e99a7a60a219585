"""The usual job: fit a model on one fold, predict validation and test samples, put the predictions into staging.

Fitting and predicting are two units of work. A fit that is finished in ``work.folder`` is not repeated: the job goes
straight to predicting, from the weights kept there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from seedfold.jobs.fusing import FusedFits
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.store.predictions import file_name, read_heads, write_predictions
from seedfold.results.store.published import RUN_METRICS_FILE, DamagedError, MetricRecord, find_damage
from seedfold.results.store.thumbnails import write_thumbnails
from seedfold.results.store.worst_samples import find_worst
from seedfold.trainers.data.job_data import NEW_SPLIT, JobData, load_data, load_new_samples
from seedfold.trainers.data.samples import UNKNOWN, Floats, Samples
from seedfold.trainers.data.source_reader import shared_sources
from seedfold.trainers.data.thumbnails import make_thumbnail
from seedfold.trainers.learning import classical, training
from seedfold.trainers.learning.checkpoint_files import (
    FIT_FILE,
    Checkpoints,
    DamagedCheckpointError,
    FinishedFit,
    remove_unneeded_checkpoints,
)
from seedfold.trainers.learning.kept_weights import find_fit_folder, refuse_training
from seedfold.trainers.learning.metric_history import write_history
from seedfold.trainers.learning.training_scores import score_estimator, training_scores
from seedfold.trainers.setup.process_limits import distributed_backend, gpu_memory_cap, prepare_process
from seedfold.trainers.setup.ranks import Ranks, run_on_ranks
from seedfold.trainers.setup.settings import CheckpointSettings, PredictSettings, TrainerSettings

PRELOAD = (
    "hydra.utils",
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "pytorch_lightning",
    "seedfold.results.store.metrics",
    "seedfold.results.store.predictions",
    "seedfold.results.store.published",
    "seedfold.results.store.thumbnails",
    "seedfold.trainers.augmentation.batches",
    "seedfold.trainers.data.images",
    "seedfold.trainers.data.table",
    "seedfold.trainers.stages.fit_predict",
    "seedfold.trainers.learning.losses",
    "seedfold.trainers.models.networks",
    "seedfold.trainers.learning.schedules",
    "seedfold.trainers.augmentation.transforms",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "threadpoolctl",
    "torch",
    "torch._dynamo",
)
"""Imported once by a warm worker. They touch no GPU, run no tensor operation, and start no thread in a process with
OMP_NUM_THREADS, OPENBLAS_NUM_THREADS and MKL_NUM_THREADS at 1 and JE_ARROW_MALLOC_CONF=background_thread:false (or
else Arrow's allocator starts one when it is imported)."""

_log = logging.getLogger(__name__)

Predictor = Callable[[Samples], dict[str, Floats]]


def run(work: Work) -> None:
    """Fit (or continue, or skip) and predict, on all GPUs of the job; see `seedfold.jobs.work` for what is raised."""
    settings = TrainerSettings.from_config(work.config)
    CheckpointSettings.from_config(work.config)  # a wrong word there must not come out after training
    PredictSettings.from_config(work.config)
    work.folder.mkdir(parents=True, exist_ok=True)
    run_on_ranks(device_count(work, settings), distributed_backend(settings), work, _run_rank)


@contextmanager
def fit_together(works: Sequence[Work], *, measured: bool) -> Iterator[FusedFits]:
    """Fit several jobs together before each of them runs, within this context, in which they share what they read.

    See `seedfold.trainers.stages.fused_fits`.
    """
    from seedfold.trainers.stages import fused_fits

    with shared_sources():
        yield fused_fits.fit_together(works, measured=measured)


def device_count(work: Work, settings: TrainerSettings) -> int:
    """How many devices train together: the GPUs that the job asks for."""
    return max(1, work.description.resources.gpus) if settings.accelerator == "cuda" else 1


def _run_rank(work: Work, ranks: Ranks) -> None:
    prepare_process(TrainerSettings.from_config(work.config), gpu_memory_cap(work.config), ranks.rank)
    prediction = PredictSettings.from_config(work.config)
    work = replace(work, folder=find_fit_folder(work, prediction))
    if prediction.source:
        data = load_new_samples(work.config, work.reads, work.folder)
    else:
        data = load_data(work.config, work.reads, work.parents)
    if data.train.masks is not None:
        raise ConfigFailure(
            "run: the samples have masks; use seedfold.trainers.stages.fit_masks.run, which learns them"
        )
    splits = _splits_to_predict(prediction, data)
    predict = _make_predictor(work, data, ranks)
    for split in splits:
        samples = data.evaluation_splits[split]
        if len(samples):
            logits = predict(samples)
            if ranks.is_first:
                _write_split(work, split, samples, logits)
                _write_thumbnails(work, split, samples, prediction.thumbnails)


def _splits_to_predict(prediction: PredictSettings, data: JobData) -> tuple[str, ...]:
    """The splits to predict; raises ConfigFailure for one that the data does not have."""
    if prediction.source:
        return (NEW_SPLIT,)
    for split in prediction.splits:
        if split not in data.evaluation_splits:
            raise ConfigFailure(f"predict.splits: {split!r} is not one of {', '.join(data.evaluation_splits)}")
    return prediction.splits


def after_publish(work: Work) -> None:
    """Remove the checkpoints that ``checkpoint.keep`` does not keep.

    Weights go only after everything that was published has been read back; raises DamagedError if it is not whole.
    """
    keep = CheckpointSettings.from_config(work.config).keep
    reason = None if keep not in ("last", "none") else find_damage(work.staging, check_content=True)
    if reason is not None:
        raise DamagedError(f"{work.staging}: {reason}; the checkpoints are kept")
    remove_unneeded_checkpoints(work.folder, keep)


def _make_predictor(work: Work, data: JobData, ranks: Ranks) -> Predictor:
    model = training.make_seeded_network(work.config)
    if classical.is_estimator(model):
        if ranks.count > 1:
            raise ConfigFailure("resources.gpus: an estimator uses one GPU at most")
        if not (work.folder / FIT_FILE).exists():
            refuse_training(PredictSettings.from_config(work.config))
        _save_scaling(work, data)
        estimator = classical.get_fitted(work, model, data)
        _write_estimator_scores(work, estimator, data)
        return lambda samples: classical.predict_logits(estimator, samples, data.classes)
    finished = get_fitted_network(work, model, data, ranks)
    if ranks.is_first:
        role = PredictSettings.from_config(work.config).weights_role
        _write_run_metrics(work, training_scores(finished, role))
    return lambda samples: training.predict(work, model, finished, samples, ranks)


def _write_estimator_scores(work: Work, estimator: Any, data: JobData) -> None:
    """Score the training samples, or as many as ``trainer.train_metrics`` says; new samples come without any."""
    settings = TrainerSettings.from_config(work.config)
    if settings.train_metrics and len(data.train):
        rows = training.draw_scored_rows(len(data.train), settings.train_metrics, int(work.config["seed"]))
        samples = data.train.take(rows)
        logits = classical.predict_logits(estimator, samples, data.classes)
        _write_run_metrics(work, score_estimator(logits, samples.targets))


def _write_run_metrics(work: Work, records: list[MetricRecord]) -> None:
    if records:
        (work.staging / RUN_METRICS_FILE).write_text(json.dumps(records))


def get_fitted_network(work: Work, network: Any, data: JobData, ranks: Ranks) -> FinishedFit:
    """Fit ``network``, or continue, or take the fit that is finished; its history goes into staging.

    Raises ConfigFailure for what is no torch module, and as `training.fit` does.
    """
    from torch import nn

    if not isinstance(network, nn.Module):
        raise ConfigFailure(f"model: {type(network).__name__} is neither a torch module nor an estimator")
    training.refuse_own_training(network)
    training.separate_random_streams(work.config, ranks)
    finished = _shared_usable_fit(work, ranks)
    if finished is None:
        refuse_training(PredictSettings.from_config(work.config))
        if ranks.is_first:
            _save_scaling(work, data)
        finished = training.fit(work, network, data, ranks)
    if ranks.is_first and finished.history:
        write_history(work.staging, finished.history)
    return finished


def _save_scaling(work: Work, data: JobData) -> None:
    if data.scaling is not None:
        data.scaling.save(work.folder)


def _shared_usable_fit(work: Work, ranks: Ranks) -> FinishedFit | None:
    """Return the finished fit if its weights can be read; otherwise training has to run, and a warning says why.

    What the first rank finds holds for all.
    """
    [finished, *_] = ranks.gather(_find_usable_fit(work) if ranks.is_first else None)
    return finished  # type: ignore[no-any-return]


def _find_usable_fit(work: Work) -> FinishedFit | None:
    weights = PredictSettings.from_config(work.config).weights_path
    if weights is not None and weights.is_file():
        return FinishedFit(0, None, {"best": str(weights.absolute())}, ())
    files = Checkpoints(work.folder)
    finished = files.finished_fit()
    if finished is None:
        return None
    try:
        training.check_weights_readable(work, finished)
    except DamagedCheckpointError as error:
        refuse_training(PredictSettings.from_config(work.config))
        _log.warning("%s; training again", error)
        files.remove_fit()
        return None
    return finished


def _write_split(work: Work, split: str, samples: Samples, logits: dict[str, Floats]) -> None:
    write_predictions(
        work.staging,
        split,
        job=work.description,
        sample_ids=samples.ids,
        targets=np.ma.masked_equal(samples.targets, UNKNOWN),
        logits=logits,
        expected=samples.ids,
    )


def _write_thumbnails(work: Work, split: str, samples: Samples, count: int) -> None:
    """Keep pictures of the worst predicted samples, whose inputs are images; their targets have to be known."""
    if not count:
        return
    rows = find_worst(list(read_heads(work.staging / file_name(split))), count)
    # One after the other: of large volumes, a hundred would not fit into memory.
    pictures = {samples.ids[row]: make_thumbnail(_read_input(samples, row)) for row in rows}
    if found := {sample: picture for sample, picture in pictures.items() if picture is not None}:
        write_thumbnails(work.staging, split, found)
    elif rows:
        shape = _read_input(samples, rows[0]).shape
        _log.info("predict.thumbnails: inputs of the shape %s are no images, so none are kept", shape)


def _read_input(samples: Samples, row: int) -> Any:
    if isinstance(samples.inputs, np.ndarray):
        return samples.inputs[row]
    return samples.inputs[np.array([row])].gather(slice(None))[0]
