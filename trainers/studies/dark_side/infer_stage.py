"""Predicts voxels of faults in whole volumes with the weights of parents, or of a folder (``infer.weights``).

Parents have cut the volumes into slices. Of the volumes with known faults, those that ``task.test`` holds out are
predicted, or all of them; volumes without known faults are always predicted. A network predicts the slices along each
of ``infer.axes``, as they are and mirrored along their horizontal axis, and the probabilities are averaged. Only one
volume is in memory at a time. A finished volume is kept: if the job is killed or stopped, the next attempt goes on
with the next volume.

``test/VOLUME.npy`` (known faults) and ``new/VOLUME.npy`` hold the probability of a fault, float16, with the axes of
masks. ``volumes.csv`` lists them, with the number of networks behind them. ``overlaps.csv`` compares, for each volume
with known faults, the predicted mask with the true one: for each axis and orientation, and for their mean (no axis), in
voxels.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.results.evaluation.overlaps import Overlap
from seedfold.results.store.published import RUN_METRICS_FILE
from seedfold.trainers.data.batches import EvaluationBatches
from seedfold.trainers.data.folds import hold_out
from seedfold.trainers.data.resumable_files import (
    ArrayRecord,
    file_digest,
    find_complete,
    link_into_staging,
    save_with_record,
)
from seedfold.trainers.data.samples import Samples, require_data_path
from seedfold.trainers.data.upstream_files import SLICES_INDEX
from seedfold.trainers.learning.exported_weights import ExportedWeights, find_exported, read_exported
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.setup.process_limits import gpu_memory_cap, prepare_process
from seedfold.trainers.setup.settings import TrainerSettings
from seedfold.trainers.studies.dark_side.mask_results import (
    MEAN_NETWORK,
    NEW_PART,
    ORIENTATIONS,
    TEST_PART,
    OverlapRow,
    VolumeRow,
    make_mask_metrics,
    write_tables,
)
from seedfold.trainers.studies.dark_side.slice_files import AXES

PRELOAD = (
    "hydra.utils",
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "lightning_fabric",
    "seedfold.trainers.models.segmentation",
    "seedfold.trainers.studies.dark_side.infer_stage",
    "torch",
    "monai.networks.nets.flexible_unet",
    "monai.networks.nets.unet",
)

_KNOWN_CHOICES = ("held_out", "all")
_JOB_ID_SUFFIX = re.compile(r"-([0-9a-f]{12})$")
_MASKS_PER_CHUNK = 32
"""How many slices of true masks are compared at once."""

Probabilities = NDArray[np.float32]
Masks = NDArray[np.bool_]
PredictSlices = Callable[[Any], Any]
"""A function from images (n, 1, height, width) to probabilities of a fault (n, height, width), both on the CPU."""


@dataclass(frozen=True)
class InferSettings:
    """``infer``: where weights come from, axes and orientations, which volumes, and the threshold of a fault."""

    weights: str | None = None
    axes: Sequence[int] = AXES
    orientations: Sequence[str] = ORIENTATIONS
    known: str = "held_out"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for key, allowed in (("axes", AXES), ("orientations", ORIENTATIONS)):
            chosen = getattr(self, key)
            if not chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(allowed):
                raise ConfigFailure(f"infer.{key}: {list(chosen)}; give some of {list(allowed)}, each once")
        if self.known not in _KNOWN_CHOICES:
            raise ConfigFailure(f"infer.known: {self.known!r} is not one of {', '.join(_KNOWN_CHOICES)}")
        if not 0 < self.threshold < 1:
            raise ConfigFailure(f"infer.threshold: {self.threshold} is not between 0 and 1")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InferSettings:
        """Read ``config.infer``; raises ConfigFailure for an unknown key or value."""
        return read_settings(cls, config.get("infer"), "infer")


@dataclass(frozen=True)
class _PredictedVolume:
    """A volume in a ``folder`` of slices; its part is TEST if its faults are known, else NEW."""

    name: str
    part: str
    folder: Path


@dataclass(frozen=True)
class _Network:
    """The network that predicts slices, its name, and the orientation that it needs."""

    name: str
    predict: PredictSlices
    upright: bool


@dataclass
class _Inference:
    """Everything that is needed to predict a volume; ``samples_by_key`` has the slices that are already open."""

    work: Work
    settings: InferSettings
    networks: list[_Network]
    batch_size: int
    settings_digest: str
    samples_by_key: dict[tuple[Path, int, bool], Samples] = field(default_factory=dict)

    def load_slices(self, folder: Path, axis: int, upright: bool) -> Samples:
        """Return all slices of a folder along an axis."""
        key = (folder, axis, upright)
        if key not in self.samples_by_key:
            self.samples_by_key[key] = _load_slices(self.work.config, folder, axis, upright)
        return self.samples_by_key[key]

    def slices_of_volume(self, volume: _PredictedVolume, axis: int, upright: bool = False) -> Samples:
        """Return the slices of a volume."""
        samples = self.load_slices(volume.folder, axis, upright)
        assert samples.groups is not None
        return samples.take(np.flatnonzero(samples.groups == volume.name))


def run(work: Work) -> None:
    """Predict all volumes; raises DataFailure for files that cannot be used, ConfigFailure, RunInterrupted."""
    settings, trainer = InferSettings.from_config(work.config), TrainerSettings.from_config(work.config)
    prepare_process(trainer, gpu_memory_cap(work.config))
    files = _find_weights(work, settings)
    volumes = list(_find_volumes(work, settings))
    if not volumes:
        raise DataFailure("infer: there is no volume to predict; task.test holds none out, and no other parent has any")
    inference = _Inference(
        work, settings, _load_networks(files, trainer), trainer.eval_batch_size, _digest_settings(work, files)
    )
    records = []
    for number, volume in enumerate(volumes):
        work.progress(number, len(volumes))
        records.append(_complete_volume(inference, volume))
    work.progress(len(volumes), len(volumes))
    _publish_results(work, inference, volumes, records)


def after_publish(work: Work) -> None:
    """Remove the files that the next attempt would have continued from."""
    import shutil

    shutil.rmtree(_partial_folder(work), ignore_errors=True)


def _partial_folder(work: Work) -> Path:
    return work.folder / "volumes"


def _find_weights(work: Work, settings: InferSettings) -> dict[str, Path]:
    """Return files of weights by a name that is unique."""
    if settings.weights is not None:
        folder = require_data_path(settings.weights)
        files = find_exported(folder) if folder.is_dir() else [folder]
        for file in files:
            work.reads(file)
        return {_network_name(file, folder): file for file in files}
    parents = [folder for folder in work.parents.values() if not (folder / SLICES_INDEX).is_file()]
    found = [file for folder in parents for file in find_exported(folder)]
    if not found:
        raise ConfigFailure("infer.weights: no parent has trained a network; name a folder of weights")
    return {f"network {number}" if len(found) > 1 else "network": file for number, file in enumerate(found)}


def _network_name(file: Path, folder: Path) -> str:
    """Return the id of the job that wrote a file, from the end of its folder's name; else the name of the folder."""
    relative = file.parent.relative_to(folder).as_posix() if folder.is_dir() else "."
    job_match = _JOB_ID_SUFFIX.search(relative)
    return job_match[1] if job_match else file.stem if relative == "." else relative


def _find_volumes(work: Work, settings: InferSettings) -> Iterator[_PredictedVolume]:
    for folder in sorted(folder for folder in work.parents.values() if (folder / SLICES_INDEX).is_file()):
        samples = _load_slices(work.config, folder, settings.axes[0], upright=False)
        part = NEW_PART if samples.masks is None else TEST_PART
        if part == TEST_PART and settings.known == "held_out":
            samples = samples.take(hold_out(samples, work.config["task"].get("test"))[1])
        for name in sorted(set(np.asarray(samples.groups).tolist())):
            yield _PredictedVolume(name, part, folder)


def _load_slices(config: Mapping[str, Any], folder: Path, axis: int, upright: bool) -> Samples:
    node = {**config["task"]["slices"], "axes": [axis], "vertical": upright}
    return build(node, "task.slices").load(folder)  # type: ignore[no-any-return]


def _load_networks(files: Mapping[str, Path], trainer: TrainerSettings) -> list[_Network]:
    exported = {name: read_exported(file) for name, file in files.items()}
    models = {name: _model_name(each) for name, each in exported.items()}
    is_unique = len(set(models.values())) == len(models)
    return [
        _Network(models[name] if is_unique else f"{models[name]} {name}", _make_predictor(each, trainer), each.upright)
        for name, each in exported.items()
    ]


def _model_name(exported: ExportedWeights) -> str:
    """Return the name of the encoder, or of the function that makes the network; and whether slices are vertical."""
    name = exported.model.get("name") or str(exported.model.get("_target_")).rpartition(".")[2]
    return f"{name} vertical" if exported.upright else str(name)


def _make_predictor(exported: ExportedWeights, trainer: TrainerSettings) -> PredictSlices:
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    fabric = Fabric(
        accelerator=trainer.accelerator,
        devices=1,
        precision=trainer.precision,  # type: ignore[arg-type]
        plugins=[LightningEnvironment()],
    )
    torch.use_deterministic_algorithms(trainer.deterministic)
    network = fabric.setup_module(exported.make_network().eval())

    def predict(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logits = network(images.to(fabric.device))
            if logits.shape[1] != 2:
                raise ConfigFailure(f"model: {logits.shape[1]} logits per pixel; faults need two, for rock and fault")
            return logits.float().softmax(1)[:, 1].cpu()  # type: ignore[no-any-return]

    return predict


def _digest_settings(work: Work, files: Mapping[str, Path]) -> str:
    """Return a digest of everything that the probabilities of a volume depend on, except its slices."""
    digests = {name: file_digest(file) for name, file in files.items()}
    settings = {key: work.config.get(key) for key in ("task", "infer", "trainer")}
    return hashlib.sha256(canonical_json([digests, settings]).encode()).hexdigest()


def _complete_volume(inference: _Inference, volume: _PredictedVolume) -> ArrayRecord:
    """Return the files of a volume on disk. The volume is predicted first if necessary."""
    folder = _partial_folder(inference.work) / volume.part
    plan = f"{inference.settings_digest} {volume.folder.parent.name}/{volume.folder.name}"
    found = find_complete(folder, volume.name, plan)
    if found is not None:
        return found
    mean, overlaps = _predict_volume(inference, volume)
    return save_with_record(folder, volume.name, plan, mean, {"overlaps": [asdict(row) for row in overlaps]})


def _predict_volume(inference: _Inference, volume: _PredictedVolume) -> tuple[NDArray[np.float16], list[OverlapRow]]:
    total, overlaps = _sum_passes(inference, volume)
    settings = inference.settings
    total /= len(inference.networks) * len(settings.axes) * len(settings.orientations)
    mean = total.astype(np.float16)
    if volume.part == TEST_PART:
        axis = settings.axes[0]
        found = np.moveaxis(mean > settings.threshold, axis, 0)
        overlap = _compare_masks(found, inference.slices_of_volume(volume, axis))
        overlaps.append(OverlapRow.from_overlap(volume.name, MEAN_NETWORK, None, None, overlap))
    return mean, overlaps


def _sum_passes(inference: _Inference, volume: _PredictedVolume) -> tuple[Probabilities, list[OverlapRow]]:
    """Return the sum of the probabilities over all passes, and the overlap of each pass with the true mask."""
    total: Probabilities | None = None
    overlaps = []
    for axis in inference.settings.axes:
        truth = inference.slices_of_volume(volume, axis) if volume.part == TEST_PART else None
        for network in inference.networks:
            for orientation in inference.settings.orientations:
                overlap = Overlap()
                for rows, found in _predict_slices(inference, network, volume, axis, orientation):
                    if total is None:
                        total = _make_zeros(inference, volume, axis)
                    np.moveaxis(total, axis, 0)[rows] += found
                    if truth is not None:
                        overlap += _compare_masks(found > inference.settings.threshold, truth, rows.start)
                overlaps.append(OverlapRow.from_overlap(volume.name, network.name, axis, orientation, overlap))
    assert total is not None
    return total, overlaps if volume.part == TEST_PART else []


def _make_zeros(inference: _Inference, volume: _PredictedVolume, axis: int) -> Probabilities:
    samples = inference.slices_of_volume(volume, axis)
    _, height, depth = samples.inputs[:1].gather(slice(None)).shape[1:]  # type: ignore[union-attr]
    shape = [len(samples), height] if axis == 0 else [height, len(samples)]
    return np.zeros([*shape, depth], np.float32)


def _predict_slices(
    inference: _Inference, network: _Network, volume: _PredictedVolume, axis: int, orientation: str
) -> Iterator[tuple[slice, Probabilities]]:
    """Yield some slices along an axis at a time, with their probabilities (slices, height, depth)."""
    horizontal, start = -1 if network.upright else -2, 0
    for batch in EvaluationBatches(inference.slices_of_volume(volume, axis, network.upright), inference.batch_size):
        if inference.work.stop_requested():
            raise RunInterrupted(f"stopped in volume {volume.name}; the volumes before it are kept")
        images = batch.scaled_inputs()
        found = _mirror(network.predict(_mirror(images, orientation, horizontal)), orientation, horizontal)
        yield slice(start, start + len(found)), (found.swapaxes(1, 2) if network.upright else found).numpy()
        start += len(found)


def _mirror(images: Any, orientation: str, axis: int) -> Any:
    return images.flip(axis) if orientation == "mirrored" else images


def _compare_masks(found: Masks, truth: Samples, first: int = 0) -> Overlap:
    """Compare masks (slices, height, depth) with the true ones from slice ``first`` on, some at a time."""
    assert truth.masks is not None
    overlap = Overlap()
    for start in range(0, len(found), _MASKS_PER_CHUNK):
        part = found[start : start + _MASKS_PER_CHUNK]
        true = truth.masks.gather(slice(first + start, first + start + len(part)))
        overlap += Overlap.from_masks(part, true == 1)
    return overlap


def _publish_results(
    work: Work, inference: _Inference, volumes: Sequence[_PredictedVolume], records: Sequence[ArrayRecord]
) -> None:
    rows = [OverlapRow(**row) for record in records for row in record.notes["overlaps"]]
    for part in (TEST_PART, NEW_PART):
        records_of_part = [one for one, volume in zip(records, volumes, strict=True) if volume.part == part]
        if records_of_part:
            link_into_staging(_partial_folder(work) / part, records_of_part, work.staging / part)
    networks = len(inference.networks)
    volume_rows = [VolumeRow(volume.part, volume.name, networks) for volume in volumes]
    write_tables(work.staging, volume_rows, rows)
    if rows:
        (work.staging / RUN_METRICS_FILE).write_text(json.dumps(make_mask_metrics(rows)))
