"""The job that trains a network to give a class to every pixel, and leaves its weights for others to predict with.

It leaves ``epochs.csv``, the metrics of the chosen epoch on the split ``val``, and among the files for people
``weights.ckpt`` (`seedfold.trainers.learning.exported_weights`): a later stage predicts from it in a job of its own.
"""

from __future__ import annotations

import json

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.evaluation.overlaps import METRICS
from seedfold.results.store.published import GIVEN_METRICS, MetricRecord
from seedfold.trainers.data.loading import load as load_data
from seedfold.trainers.learning import training
from seedfold.trainers.learning.checkpoint_files import Checkpoints, Fit, load
from seedfold.trainers.learning.exported_weights import FILE, Exported, export
from seedfold.trainers.learning.validation import MAIN_HEAD
from seedfold.trainers.setup.process import backend, gpu_memory_cap, prepare
from seedfold.trainers.setup.ranks import Ranks, on_ranks
from seedfold.trainers.setup.settings import CheckpointSettings, PredictSettings, TrainerSettings
from seedfold.trainers.stages import fit_predict

PRELOAD = (
    *fit_predict.PRELOAD,
    "seedfold.trainers.stages.fit_masks",
    "seedfold.trainers.models.segmentation",
    "seedfold.trainers.learning.overlap_loss",
    "monai.losses.dice",
    "monai.networks.nets.flexible_unet",
    "monai.networks.nets.unet",
)
_NETWORK = "network."

after_publish = fit_predict.after_publish


def run(work: Work) -> None:
    """Fit (or continue, or skip) on all GPUs of the job; see `seedfold.jobs.work` for what is raised."""
    settings = TrainerSettings.of(work.config)
    CheckpointSettings.of(work.config)
    prediction = PredictSettings.of(work.config)
    if prediction.source or prediction.elsewhere:
        raise ConfigFailure(
            "predict: this job only trains; other volumes are predicted from its weights by a stage of their own"
        )
    work.folder.mkdir(parents=True, exist_ok=True)
    on_ranks(fit_predict.devices(work, settings), backend(settings), work, _run)


def _run(work: Work, ranks: Ranks) -> None:
    prepare(TrainerSettings.of(work.config), gpu_memory_cap(work.config), ranks.rank)
    data = load_data(work.config, work.reads, work.parents)
    if data.train.masks is None:
        raise ConfigFailure(
            "run: the samples have no masks, and seedfold.trainers.stages.fit_predict.run learns their classes"
        )
    fit = fit_predict.fitted_network(work, training.seeded_network(work.config), data, ranks)
    if ranks.first:
        _write(work, fit)


def _write(work: Work, fit: Fit) -> None:
    role = PredictSettings.of(work.config).role
    best = fit.best.epoch if role == "best" and fit.best else fit.epochs - 1
    row = fit.history[best]
    metrics = [
        MetricRecord(split="val", head=MAIN_HEAD, metric=name, value=row[f"val/{name}"])
        for name in METRICS
        if f"val/{name}" in row
    ]
    (work.staging / GIVEN_METRICS).write_text(json.dumps(metrics))
    state = load(Checkpoints(work.folder).weights(fit, role))["state_dict"]
    weights = {name.removeprefix(_NETWORK): value for name, value in state.items() if name.startswith(_NETWORK)}
    upright = bool(work.config["task"]["slices"].get("vertical", False))
    export(work.outputs / FILE, Exported(dict(work.config["model"]), weights, upright, best))
