"""Fits several jobs together, before each of them runs: it then finds its fit finished, and predicts.

Whatever cannot be fitted together is left as it is: the job fits alone, from where its files are, and tells by itself
what is wrong.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.jobs.fusing import FUSED_FILE, FusedFits, config_refusal
from seedfold.jobs.work import RunInterrupted, Work
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers.data.job_data import load_data
from seedfold.trainers.fused.replica import Replica
from seedfold.trainers.fused.training import measure, shape_refusal, train, try_step
from seedfold.trainers.learning import classical, training
from seedfold.trainers.learning.checkpoint_files import FIT_FILE
from seedfold.trainers.setup.process_limits import prepare_process
from seedfold.trainers.setup.settings import TrainerSettings

_MARGIN = 1.1
"""How much faster training together has to be to be chosen: below that, jobs that end one by one are better."""
_log = logging.getLogger(__name__)


def fit_together(works: Sequence[Work], *, measured: bool) -> FusedFits:
    """Fit the jobs of ``works`` together, and return what was done, or why each job fits alone.

    If ``measured``, do so only if it is faster. Raises RunInterrupted when asked to stop; the jobs can then go on.
    """
    refusal = config_refusal(works[0].config)
    if refusal:
        return _alone(refusal)
    prepare_process(TrainerSettings.from_config(works[0].config))
    replicas = [replica for work in works if (replica := _prepare(work)) is not None]
    if len(replicas) < 2:
        return FusedFits("each job trains alone: fewer than two have to be trained, and can be")
    refusal = shape_refusal(replicas) or try_step(replicas)
    if refusal:
        return _alone(refusal)
    record: dict[str, Any] = {"jobs": len(replicas)}
    if measured:
        alone_s, together_s = measure(replicas)
        record |= {"epoch_alone_s": round(alone_s, 4), "epoch_together_s": round(together_s, 4)}
        figures = f"an epoch of {len(replicas)} jobs takes {together_s:.3g} s together, {alone_s:.3g} s one by one"
        if together_s * _MARGIN > alone_s:
            return _alone(figures)
        _log.info("%s", figures)
    for replica in replicas:
        _begin(replica, record)
    train(replicas, works[0].stop_requested)
    return FusedFits(f"{len(replicas)} jobs were trained together")


def _alone(reason: str) -> FusedFits:
    return FusedFits(f"each job trains alone: {reason}", again=False)


def _prepare(work: Work) -> Replica | None:
    """Build the replica of a job; None for one that is trained already, is no network, or fails.

    Such a job says alone what is wrong with it.
    """
    if (work.folder / FIT_FILE).exists():
        return None
    work.folder.mkdir(parents=True, exist_ok=True)
    try:
        model = training.make_seeded_network(work.config)
        if classical.is_estimator(model):
            return None
        training.refuse_own_training(model)
        data = load_data(work.config, work.reads, work.parents)
        if data.train.masks is not None or not len(data.evaluation_splits[data.validation_split]):
            return None
        return Replica.prepare(work, data)
    except RunInterrupted:
        raise
    except Exception as error:
        _log.warning("%s trains alone: %s: %s", work.description.short_id, type(error).__name__, error)
        return None


def _begin(replica: Replica, record: Mapping[str, Any]) -> None:
    """Write what a fit needs beside its weights, and that it was trained together with others."""
    folder = replica.work.folder
    if replica.data.scaling is not None:
        replica.data.scaling.save(folder)
    with replace_file(folder / FUSED_FILE) as temporary:
        temporary.write_text(json.dumps(record))
