"""Whether a job that was stopped has made progress: whether its checkpoint is of a later step than before.

The step stands in the checkpoints that PyTorch writes: those of Seedfold's own trainings, and those of Lightning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.passing_errors import try_again

Step = list[int]
"""Epochs and batches that are done; later steps are greater."""
_SUFFIXES = (".ckpt", ".pt", ".pth")


def has_progressed(study: StudyFolder, fit: str, since: float, step_before: object) -> bool:
    """Whether a job has a checkpoint of a later step than ``step_before``, written since ``since`` (s since the epoch).

    ``step_before`` is what `newest_step` returned, or what was read from an event. If no checkpoint says its step, any
    file that was written since then counts.
    """
    folder = study.job_folder(fit)
    written = try_again(lambda: [path for path in _own_files(folder) if _was_written_since(path, since)], folder)
    steps = [step for step in map(_read_step, written) if step is not None]
    if steps:
        return max(steps) > (step_before if _is_step(step_before) else [])
    return bool(written)


def newest_step(study: StudyFolder, fit: str) -> Step | None:
    """The latest step of the checkpoints of a job; None if none of them says its step."""
    folder = study.job_folder(fit)
    steps = map(_read_step, try_again(lambda: list(_own_files(folder)), folder))
    return max((step for step in steps if step is not None), default=None)


def _own_files(folder: Path) -> Iterator[Path]:
    """What the job has written into its folder, without logs, results and what it recorded."""
    kept = (path for path in folder.rglob("*") if path.is_file())
    return (path for path in kept if not path.relative_to(folder).parts[0].startswith(("log.", "staging.", "records")))


def _was_written_since(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except FileNotFoundError:
        return False


def _read_step(path: Path) -> Step | None:
    """The step of a checkpoint; None for another file, and one that does not say it."""
    if path.suffix not in _SUFFIXES:
        return None
    # Most tasks begin without a checkpoint, and then need neither pickle nor zipfile.
    from seedfold.orchestrator.ledger.checkpoint_step import read_step

    step = read_step(path)
    return step if _is_step(step) else None


def _is_step(value: object) -> TypeGuard[Step]:
    return isinstance(value, list) and all(type(number) is int for number in value)
