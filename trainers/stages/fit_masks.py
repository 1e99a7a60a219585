"""The job that trains a network to give a class to every pixel, and publishes its weights for other jobs.

It leaves ``epochs.csv``, the metrics of the chosen epoch on the split ``val``, and among the files for people
``weights.ckpt`` (`seedfold.trainers.learning.exported_weights`): a later stage predicts from it in a job of its own.
"""

from __future__ import annotations

import json

from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.evaluation.overlaps import METRICS
from seedfold.results.store.published import RUN_METRICS_FILE, MetricRecord
from seedfold.trainers.data.job_data import load_data as load_data
from seedfold.trainers.learning import training
from seedfold.trainers.learning.checkpoint_files import Checkpoints, FinishedFit, load_checkpoint
from seedfold.trainers.learning.exported_weights import EXPORTED_FILE, ExportedWeights, export_weights
from seedfold.trainers.learning.validation import MAIN_HEAD
from seedfold.trainers.setup.process_limits import distributed_backend, gpu_memory_cap, prepare_process
from seedfold.trainers.setup.ranks import Ranks, run_on_ranks
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
_NETWORK_PREFIX = "network."

after_publish = fit_predict.after_publish


def run(work: Work) -> None:
    """Fit (or continue, or skip) on all GPUs of the job; see `seedfold.jobs.work` for what is raised."""
    settings = TrainerSettings.from_config(work.config)
    CheckpointSettings.from_config(work.config)
    prediction = PredictSettings.from_config(work.config)
    if prediction.source or prediction.weights_path:
        raise ConfigFailure("predict: this job only trains; another stage predicts other volumes from its weights")
    if prediction.thumbnails:
        raise ConfigFailure("predict.thumbnails: this job predicts masks, which have no thumbnails; leave it 0")
    work.folder.mkdir(parents=True, exist_ok=True)
    run_on_ranks(fit_predict.device_count(work, settings), distributed_backend(settings), work, _run_rank)


def _run_rank(work: Work, ranks: Ranks) -> None:
    prepare_process(TrainerSettings.from_config(work.config), gpu_memory_cap(work.config), ranks.rank)
    data = load_data(work.config, work.reads, work.parents)
    if data.train.masks is None:
        raise ConfigFailure(
            "run: the samples have no masks; use seedfold.trainers.stages.fit_predict.run, which learns their classes"
        )
    fit = fit_predict.get_fitted_network(work, training.make_seeded_network(work.config), data, ranks)
    if ranks.is_first:
        _write_results(work, fit)


def _write_results(work: Work, fit: FinishedFit) -> None:
    role = PredictSettings.from_config(work.config).weights_role
    best = fit.best.epoch if role == "best" and fit.best else fit.epochs - 1
    row = fit.history[best]
    metrics = [
        MetricRecord(split="val", head=MAIN_HEAD, metric=name, value=row[f"val/{name}"])
        for name in METRICS
        if f"val/{name}" in row
    ]
    (work.staging / RUN_METRICS_FILE).write_text(json.dumps(metrics))
    state = load_checkpoint(Checkpoints(work.folder).weights_file(fit, role))["state_dict"]
    weights = {
        name.removeprefix(_NETWORK_PREFIX): value for name, value in state.items() if name.startswith(_NETWORK_PREFIX)
    }
    upright = bool(work.config["task"]["slices"].get("vertical", False))
    export_weights(work.outputs / EXPORTED_FILE, ExportedWeights(dict(work.config["model"]), weights, upright, best))
