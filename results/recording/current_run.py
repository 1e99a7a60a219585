"""`seedfold.current()`: what a program can say of its own job while it runs, and what it can ask.

It works in every process of a job. A program that runs on its own gets a stand-in: it prints metrics, checks
predictions and keeps nothing. So the same lines work without Seedfold. Importing this module imports neither NumPy nor
torch.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from seedfold.jobs.work import DataFailure
from seedfold.results.recording.attempt_file import Attempt

if TYPE_CHECKING:
    from seedfold.results.recording.batch_heads import HeadBatch
    from seedfold.results.recording.prediction_parts import PredictionParts

ARTIFACTS = "artifacts"
CHECKPOINTS = "checkpoints"
PREDICTIONS = "predictions"
MAIN_HEAD = "main"
CheckpointName = Literal["last", "best"]


class CurrentRun:
    """The running attempt of a job. Its methods can be called from any process of the attempt."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._parts: PredictionParts | None = None
        self._predicted: dict[tuple[str, str], set[str]] = {}
        self._steps: set[int] | None = None

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics: numbers, or arrays and tensors of one element, by their names.

        ``step`` is usually the epoch. Metrics with a step are the learning curves of the job, and the last value of
        each metric is a result of the job. A name such as ``val/accuracy`` is the metric ``accuracy`` of the split
        ``val``. Of several processes that train together, the one of rank 0 logs, and the calls of the others do
        nothing. Raises `seedfold.jobs.work.DataFailure` for what is not a number.
        """
        self.log_within_epoch(metrics, step)
        if process_rank() == 0 and step is not None and self._attempt.pause_after is not None:
            self.is_paused_after(len(self._steps_with(int(step))))

    def log_within_epoch(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics, as `log` does, of an epoch that is not over yet: more of its metrics come."""
        from seedfold.results.recording.metric_log import append_metrics

        if process_rank() == 0:
            append_metrics(self._attempt.records, self._attempt.number, step, metrics)

    def _steps_with(self, step: int) -> set[int]:
        """The steps of which metrics were logged, those of earlier attempts included."""
        if self._steps is None:
            from seedfold.results.recording.metric_log import read_metrics

            self._steps = set(read_metrics(self._attempt.records).rows)
        self._steps.add(step)
        return self._steps

    def is_paused_after(self, epochs: int) -> bool:
        """Whether a search pauses the job after so many epochs: then it is asked to stop, with a checkpoint."""
        if self._attempt.pause_after is None or epochs < self._attempt.pause_after:
            return False
        self._attempt.pause_file.touch()
        self._attempt.request_stop()
        return True

    def predictions(
        self,
        split: str,
        *,
        sample_id: Sequence[Any] | None = None,
        inputs: Any = None,
        target: Any = None,
        logits: Any = None,
        probabilities: Any = None,
        values: Any = None,
        head: str = MAIN_HEAD,
    ) -> None:
        """Keep the predictions of a split, all at once or batch by batch; arrays, lists or tensors.

        ``sample_id`` (n,) names the samples. Without names, give their ``inputs`` (n, …) instead: a sample is known by
        a digest of its values, so these have to differ between samples, and have to be the same in all jobs. One of
        three is given: ``logits`` (n, k), or (n,) for class 1 of two; ``probabilities`` of the same shapes; ``values``
        (n,), the predicted numbers of a regression. ``target`` (n,) are class numbers, or real numbers for a
        regression; masked or NaN where unknown. Targets (n, k) are those of k labels that do not exclude each other:
        each label becomes a head of its own, ``label_0`` and so on. A model with several outputs gives each a ``head``.
        Of several processes, each hands over the samples that it predicted.

        Raises `seedfold.jobs.work.DataFailure` for wrong shapes and types, and
        `seedfold.jobs.work.NonFiniteFailure` for numbers that are not finite.
        """
        from seedfold.results.recording.batch_heads import to_heads
        from seedfold.results.recording.sample_names import name_samples

        given = {"logits": logits, "probabilities": probabilities, "values": values}
        names, heads = name_samples(split, sample_id, inputs), to_heads(split, head, target, given)
        for name in heads:
            self._refuse_repeated(split, name, names)
        self._keep_heads(split, names, heads)
        for name in heads:
            self._predicted[split, name].update(names)

    def _refuse_repeated(self, split: str, head: str, sample_ids: Sequence[str]) -> None:
        """Refuse samples at once that this process has predicted before: the job would fail at its end."""
        from seedfold.results.recording.prediction_parts import refuse_repeated

        before = self._predicted.setdefault((split, head), set())
        refuse_repeated(split, head, [*(name for name in sample_ids if name in before), *sample_ids])

    def _keep_heads(self, split: str, sample_ids: Sequence[str], heads: Mapping[str, HeadBatch]) -> None:
        from seedfold.results.recording.prediction_parts import PredictionParts

        if self._parts is None:
            self._parts = PredictionParts(self._attempt.records / PREDICTIONS, self._attempt.number, process_rank())
        for name, batch in heads.items():
            self._parts.write(split, name, sample_ids, batch.targets, batch.logits)

    def artifact(self, path: str | Path, name: str | None = None) -> None:
        """Keep a copy of a file or folder for people: it is found under ``outputs/`` of the study when the job is done.

        ``name`` is its new name, by default the one that it has. Raises `seedfold.jobs.work.DataFailure` if there is no
        such file, or the name is no plain name.
        """
        source = Path(path)
        target_name = source.name if name is None else name
        if not source.exists():
            raise DataFailure(f"artifact {source}: does not exist")
        if Path(target_name).name != target_name or target_name in {"", ".", ".."}:
            raise DataFailure(f"artifact {target_name!r}: its name has to be that of a file, without folders")
        _copy_whole(source, _made(self._attempt.records / ARTIFACTS) / target_name)

    @property
    def folder(self) -> Path:
        """A folder of this job alone, the same for all of its attempts."""
        return _made(self._attempt.folder)

    @property
    def checkpoints(self) -> Path:
        """The folder for checkpoints: what is in it is there again when the job goes on after a kill."""
        return _made(self.folder / CHECKPOINTS)

    def checkpoint(self, name: CheckpointName = "last") -> Path | None:
        """The newest file or folder in ``checkpoints`` whose name begins with ``last`` or ``best``; None without."""
        found = [path for path in self.checkpoints.iterdir() if path.name.startswith(name)]
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)

    @property
    def stop_requested(self) -> bool:
        """Whether the job has to stop, for example because its time limit is near, or because its search pauses it.

        Write a checkpoint then, and call `stop`. A program that has asked this once is not interrupted otherwise.
        """
        self._attempt.asks_file.touch()
        return self._attempt.stop_file.exists()

    def stop(self) -> NoReturn:
        """End the program because it was asked to stop: the job is not done, and goes on later. Raises SystemExit."""
        self._attempt.stopped_file.touch()
        sys.exit(0)

    @property
    def config(self) -> Mapping[str, Any]:
        """The job's resolved configuration."""
        return self._attempt.description.config

    @property
    def axes(self) -> Mapping[str, Any]:
        """The values of the study's axes for this job."""
        return self._attempt.description.axes

    @property
    def seed(self) -> int | None:
        """The value of ``seed`` in the configuration; None without."""
        return self.config.get("seed")

    @property
    def fold(self) -> int | None:
        """The value of ``fold`` in the configuration; None without."""
        return self.config.get("fold")

    @property
    def is_job(self) -> bool:
        """Whether this process is part of a job of Seedfold."""
        return True


class StandaloneRun(CurrentRun):
    """What a program gets that was started without Seedfold: metrics are printed, mistakes found, nothing is kept."""

    def __init__(self) -> None:
        """Make it; there is no attempt."""
        self._predicted = {}

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Print the metrics."""
        from seedfold.results.recording.metric_log import to_number

        if process_rank() == 0:
            values = ", ".join(f"{name} {to_number(name, value):.6g}" for name, value in metrics.items())
            print(values if step is None else f"step {step}: {values}", flush=True)

    def log_within_epoch(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Print the metrics."""
        self.log(metrics, step)

    def is_paused_after(self, epochs: int) -> bool:
        """False."""
        return False

    def _keep_heads(self, split: str, sample_ids: Sequence[str], heads: Mapping[str, HeadBatch]) -> None:
        from seedfold.results.recording.prediction_parts import to_batch

        for name, batch in heads.items():
            to_batch(split, name, sample_ids, batch.targets, batch.logits)

    def artifact(self, path: str | Path, name: str | None = None) -> None:
        """Do nothing."""

    @property
    def folder(self) -> Path:
        """The working directory."""
        return Path.cwd()

    def checkpoint(self, name: CheckpointName = "last") -> None:
        """None: a program that runs on its own begins at its beginning."""
        return

    @property
    def stop_requested(self) -> bool:
        """False."""
        return False

    def stop(self) -> NoReturn:
        """Raise SystemExit."""
        sys.exit(0)

    @property
    def config(self) -> Mapping[str, Any]:
        """Empty."""
        return {}

    @property
    def axes(self) -> Mapping[str, Any]:
        """Empty."""
        return {}

    @property
    def is_job(self) -> bool:
        """False."""
        return False


@cache
def _run_of_process(process: int) -> CurrentRun:
    attempt = Attempt.of_this_process()
    return StandaloneRun() if attempt is None else CurrentRun(attempt)


def current() -> CurrentRun:
    """Return the run that this process is part of; a stand-in if Seedfold has not started it."""
    return _run_of_process(os.getpid())


def process_rank() -> int:
    """Return the rank of this process among those that train together, 0 for one that trains alone."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    # Lightning sets these two for the processes that it starts; every node has a process of local rank 0.
    return int(os.environ.get("NODE_RANK", 0)) or int(os.environ.get("LOCAL_RANK", 0))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a file or folder so that under its name there is never a part of it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    if source.is_dir():
        shutil.copytree(source, temporary)
        shutil.rmtree(target, ignore_errors=True)
    else:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
