"""Predicts voxels of faults in whole volumes, from weights alone: those of parents, or of a folder (``infer.weights``).

Volumes are those that parents have cut into slices: of those with known faults the ones that ``task.test`` holds out,
or all of them, and all others. A network looks at the slices along each of ``infer.axes``, as they are and mirrored
along their horizontal axis, and the probabilities are averaged. There is one volume in memory at a time; one that is
done is kept, and killed or stopped the next attempt goes on with the one after it.

``test/VOLUME.npy`` (known faults) and ``new/VOLUME.npy`` have the probability of a fault, float16, axes in order.
``volumes.csv`` lists them, with the number of networks behind them. ``overlaps.csv`` has for each volume with known
faults what a network found along each axis in each orientation, and what their mean finds (no axis), in voxels.
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

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.settings import read_settings
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.results.evaluation.overlaps import Overlap
from seedfold.results.store.published import GIVEN_METRICS
from seedfold.trainers.data.batches import EvaluationBatches
from seedfold.trainers.data.folds import hold_out
from seedfold.trainers.data.resumable_files import Kept, digest_of, hand_over, kept, save
from seedfold.trainers.data.samples import Samples, existing
from seedfold.trainers.data.upstream_files import SLICES_INDEX
from seedfold.trainers.learning.exported_weights import Exported, exported_in, read
from seedfold.trainers.setup.build import build
from seedfold.trainers.setup.process import gpu_memory_cap, prepare
from seedfold.trainers.setup.settings import TrainerSettings
from seedfold.trainers.studies.dark_side.mask_results import (
    MEAN,
    NEW,
    ORIENTATIONS,
    TEST,
    OverlapRow,
    VolumeRow,
    mask_metrics,
    write_tables,
)
from seedfold.trainers.studies.dark_side.slice_files import AXES
from seedfold.trainers.studies.dark_side.slices import swapped_volumes

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

_KNOWN = ("held_out", "all")
_LEFT_BY = re.compile(r"-([0-9a-f]{12})$")
_CHUNK = 32
"""Slices of true masks that are compared at once."""

Probabilities = NDArray[np.float32]
Masks = NDArray[np.bool_]
Look = Callable[[Any], Any]
"""From images (n, 1, height, width) on the CPU to the probability of a fault (n, height, width) on the CPU."""


@dataclass(frozen=True)
class InferSettings:
    """``infer``: where weights come from, how slices are looked at, which volumes, and from where on it is a fault."""

    weights: str | None = None
    axes: Sequence[int] = AXES
    orientations: Sequence[str] = ORIENTATIONS
    known: str = "held_out"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for key, allowed in (("axes", AXES), ("orientations", ORIENTATIONS)):
            given = getattr(self, key)
            if not given or len(set(given)) != len(given) or not set(given) <= set(allowed):
                raise ConfigFailure(f"infer.{key}: {list(given)}; give some of {list(allowed)}, each once")
        if self.known not in _KNOWN:
            raise ConfigFailure(f"infer.known: {self.known!r} is none of {', '.join(_KNOWN)}")
        if not 0 < self.threshold < 1:
            raise ConfigFailure(f"infer.threshold: {self.threshold} is not between 0 and 1")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> InferSettings:
        """Read ``config.infer``; raises ConfigFailure for an unknown key or value."""
        return read_settings(cls, config.get("infer"), "infer")


@dataclass(frozen=True)
class _Volume:
    """A volume in a ``folder`` of slices; of a part, TEST where its faults are known, else NEW."""

    name: str
    part: str
    folder: Path
    swapped: bool


@dataclass(frozen=True)
class _Network:
    """What looks at slices, its name, and how these have to stand."""

    name: str
    look: Look
    upright: bool


@dataclass
class _Inference:
    """All that predicting a volume takes; ``loaded`` has the slices that were opened before."""

    work: Work
    settings: InferSettings
    networks: list[_Network]
    batch_size: int
    plan: str
    loaded: dict[tuple[Path, int, bool], Samples] = field(default_factory=dict)

    def slices(self, folder: Path, axis: int, upright: bool) -> Samples:
        """All slices of a folder along an axis."""
        key = (folder, axis, upright)
        if key not in self.loaded:
            self.loaded[key] = _slices(self.work.config, folder, axis, upright)
        return self.loaded[key]

    def slices_of(self, volume: _Volume, axis: int, upright: bool = False) -> Samples:
        """Those of a volume."""
        samples = self.slices(volume.folder, axis, upright)
        assert samples.groups is not None
        return samples.take(np.flatnonzero(samples.groups == volume.name))


def run(work: Work) -> None:
    """Predict all volumes; raises DataFailure for files that cannot be used, ConfigFailure, RunInterrupted."""
    settings, trainer = InferSettings.of(work.config), TrainerSettings.of(work.config)
    prepare(trainer, gpu_memory_cap(work.config))
    files = _weights(work, settings)
    volumes = list(_volumes(work, settings))
    if not volumes:
        raise DataFailure("infer: there is no volume to predict; task.test holds none out, and no other parent has any")
    inference = _Inference(work, settings, _networks(files, trainer), trainer.eval_batch_size, _plan(work, files))
    done = []
    for number, volume in enumerate(volumes):
        work.progress(number, len(volumes))
        done.append(_done(inference, volume))
    work.progress(len(volumes), len(volumes))
    _publish(work, inference, volumes, done)


def after_publish(work: Work) -> None:
    """Remove what was kept to go on from."""
    import shutil

    shutil.rmtree(_partial(work), ignore_errors=True)


def _partial(work: Work) -> Path:
    return work.folder / "volumes"


def _weights(work: Work, settings: InferSettings) -> dict[str, Path]:
    """Files of weights by the name that the network is to have."""
    if settings.weights is not None:
        folder = existing(settings.weights)
        files = exported_in(folder) if folder.is_dir() else [folder]
        for file in files:
            work.reads(file)
        return {_name(file, folder): file for file in files}
    parents = [folder for folder in work.parents.values() if not (folder / SLICES_INDEX).is_file()]
    found = [file for folder in parents for file in exported_in(folder)]
    if not found:
        raise ConfigFailure("infer.weights: no parent has trained a network; name a folder of weights")
    return {f"network {number}" if len(found) > 1 else "network": file for number, file in enumerate(found)}


def _name(file: Path, folder: Path) -> str:
    """The id of the job that left a file, which ends the name of its folder; of other folders the name."""
    place = file.parent.relative_to(folder).as_posix() if folder.is_dir() else "."
    left_by = _LEFT_BY.search(place)
    return left_by[1] if left_by else file.stem if place == "." else place


def _volumes(work: Work, settings: InferSettings) -> Iterator[_Volume]:
    for folder in sorted(folder for folder in work.parents.values() if (folder / SLICES_INDEX).is_file()):
        samples = _slices(work.config, folder, settings.axes[0], upright=False)
        part = NEW if samples.masks is None else TEST
        if part == TEST and settings.known == "held_out":
            samples = samples.take(hold_out(samples, work.config["task"].get("test"))[1])
        swapped = swapped_volumes(folder)
        for name in sorted(set(np.asarray(samples.groups).tolist())):
            yield _Volume(name, part, folder, name in swapped)


def _slices(config: Mapping[str, Any], folder: Path, axis: int, upright: bool) -> Samples:
    node = {**config["task"]["slices"], "axes": [axis], "vertical": upright}
    return build(node, "task.slices").load(folder)  # type: ignore[no-any-return]


def _networks(files: Mapping[str, Path], trainer: TrainerSettings) -> list[_Network]:
    exported = {name: read(file) for name, file in files.items()}
    return [_Network(name, _look(each, trainer), each.upright) for name, each in exported.items()]


def _look(exported: Exported, trainer: TrainerSettings) -> Look:
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
    network = fabric.setup_module(exported.network().eval())

    def look(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logits = network(images.to(fabric.device))
            if logits.shape[1] != 2:
                raise ConfigFailure(f"model: {logits.shape[1]} logits of a pixel; faults need two, for rock and fault")
            return logits.float().softmax(1)[:, 1].cpu()  # type: ignore[no-any-return]

    return look


def _plan(work: Work, files: Mapping[str, Path]) -> str:
    """A digest of everything that decides the probabilities of a volume, but for its slices."""
    digests = {name: digest_of(file) for name, file in files.items()}
    settings = {key: work.config.get(key) for key in ("task", "infer", "trainer")}
    return hashlib.sha256(canonical_json([digests, settings]).encode()).hexdigest()


def _done(inference: _Inference, volume: _Volume) -> Kept:
    """What is on disk of a volume, after it has been predicted if need be."""
    folder = _partial(inference.work) / volume.part
    plan = f"{inference.plan} {volume.folder.parent.name}/{volume.folder.name}"
    found = kept(folder, volume.name, plan)
    if found is not None:
        return found
    mean, overlaps = _predicted(inference, volume)
    return save(folder, volume.name, plan, mean, {"overlaps": [asdict(row) for row in overlaps]})


def _predicted(inference: _Inference, volume: _Volume) -> tuple[NDArray[np.float16], list[OverlapRow]]:
    total, overlaps = _sum(inference, volume)
    settings = inference.settings
    total /= len(inference.networks) * len(settings.axes) * len(settings.orientations)
    mean = total.astype(np.float16)
    if volume.part == TEST:
        axis = settings.axes[0]
        found = np.moveaxis(mean > settings.threshold, axis, 0)
        overlap = _overlap(found, inference.slices_of(volume, axis))
        overlaps.append(OverlapRow.of(volume.name, MEAN, None, None, overlap))
    return mean, overlaps


def _sum(inference: _Inference, volume: _Volume) -> tuple[Probabilities, list[OverlapRow]]:
    """The sum of the probabilities over all looks, and the overlap of each look with the true mask."""
    total: Probabilities | None = None
    overlaps = []
    for axis in inference.settings.axes:
        truth = inference.slices_of(volume, axis) if volume.part == TEST else None
        for network in inference.networks:
            for orientation in inference.settings.orientations:
                overlap = Overlap()
                for place, found in _looked(inference, network, volume, axis, orientation):
                    if total is None:
                        total = _zeros(inference, volume, axis)
                    np.moveaxis(total, axis, 0)[place] += found
                    if truth is not None:
                        overlap += _overlap(found > inference.settings.threshold, truth, place.start)
                overlaps.append(OverlapRow.of(volume.name, network.name, axis, orientation, overlap))
    assert total is not None
    return total, overlaps if volume.part == TEST else []


def _zeros(inference: _Inference, volume: _Volume, axis: int) -> Probabilities:
    samples = inference.slices_of(volume, axis)
    _, height, depth = samples.inputs[:1].gather(slice(None)).shape[1:]  # type: ignore[union-attr]
    shape = [len(samples), height] if axis == 0 else [height, len(samples)]
    return np.zeros([*shape, depth], np.float32)


def _looked(
    inference: _Inference, network: _Network, volume: _Volume, axis: int, orientation: str
) -> Iterator[tuple[slice, Probabilities]]:
    """Some slices along an axis after the other, and the probabilities (slices, height, depth) there."""
    horizontal, start = -1 if network.upright else -2, 0
    for batch in EvaluationBatches(inference.slices_of(volume, axis, network.upright), inference.batch_size):
        if inference.work.stop_requested():
            raise RunInterrupted(f"stopped in volume {volume.name}; those before it are kept")
        images = batch.scaled_inputs()
        found = _mirrored(network.look(_mirrored(images, orientation, horizontal)), orientation, horizontal)
        yield slice(start, start + len(found)), (found.swapaxes(1, 2) if network.upright else found).numpy()
        start += len(found)


def _mirrored(images: Any, orientation: str, axis: int) -> Any:
    return images.flip(axis) if orientation == "mirrored" else images


def _overlap(found: Masks, truth: Samples, first: int = 0) -> Overlap:
    """Compare masks (slices, height, depth) with the true ones from slice ``first`` on, some at a time."""
    assert truth.masks is not None
    overlap = Overlap()
    for start in range(0, len(found), _CHUNK):
        part = found[start : start + _CHUNK]
        true = truth.masks.gather(slice(first + start, first + start + len(part)))
        overlap += Overlap.of(part, true == 1)
    return overlap


def _publish(work: Work, inference: _Inference, volumes: Sequence[_Volume], done: Sequence[Kept]) -> None:
    rows = [OverlapRow(**row) for one in done for row in one.notes["overlaps"]]
    for part in (TEST, NEW):
        own = [one for one, volume in zip(done, volumes, strict=True) if volume.part == part]
        if own:
            hand_over(_partial(work) / part, own, work.staging / part)
    networks = len(inference.networks)
    described = [VolumeRow(volume.part, volume.name, volume.swapped, networks) for volume in volumes]
    write_tables(work.staging, described, rows)
    if rows:
        (work.staging / GIVEN_METRICS).write_text(json.dumps(mask_metrics(rows)))
