"""Checkpoint files in a job's folder, written so that a process may die at any moment.

``last.ckpt`` is the newest full state and ``previous.ckpt`` the one before it; ``best-EPOCH.ckpt`` holds the weights
of the best epoch, or of the best epoch of some heads, as named by a full state. ``fit.json`` exists only when training
is finished and its weights are on disk. With ``checkpoint.keep: all`` or a number, each state, or some of the newest,
also stays as ``state-EPOCH-STEP.ckpt``, where EPOCH epochs and STEP batches are done; training goes back to the newest
of them if the states above are damaged or removed. Every file is written under another name, flushed to disk and
renamed. A state that is damaged, or whose best weights are missing, is removed, and the state before it is used. Only
tensors and plain values are unpickled (``weights_only=True``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from seedfold.jobs.errors import UsageError
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers.setup.settings import KeepPolicy, is_keep_policy

_log = logging.getLogger(__name__)

LAST_FILE, PREVIOUS_FILE, FIT_FILE = "last.ckpt", "previous.ckpt", "fit.json"
_STATES = "state-*.ckpt"
_FORMAT = 1
State = dict[str, Any]


class DamagedCheckpointError(Exception):
    """The content of a checkpoint file has changed since it was written."""


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far (from 0), its monitored value and the file with its weights."""

    epoch: int
    value: float
    file: str

    @classmethod
    def for_epoch(cls, epoch: int, value: float) -> BestEpoch:
        """Return the best epoch, with the name of the file for its weights."""
        return cls(epoch, value, f"best-{epoch:06d}.ckpt")


@dataclass(frozen=True)
class FinishedFit:
    """A finished training: the content of ``fit.json``.

    ``weights`` names the files by role: ``best``, ``last``, and, if heads have their own best epochs, ``heads`` and
    ``best/HEAD``.
    """

    epochs: int
    best: BestEpoch | None
    weights: Mapping[str, str]
    history: tuple[Mapping[str, float], ...]
    heads: Mapping[str, BestEpoch] = field(default_factory=dict)

    @classmethod
    def from_best_epochs(
        cls,
        epochs: int,
        best: BestEpoch | None,
        heads: Mapping[str, BestEpoch],
        history: tuple[Mapping[str, float], ...],
    ) -> FinishedFit:
        """Describe a finished training that kept its last state and the weights of its best epochs."""
        weights = {"last": LAST_FILE} | ({"best": best.file} if best else {})
        weights |= {f"best/{head}": best_of_head.file for head, best_of_head in heads.items()}
        return cls(epochs, best, weights, history, heads)


def save_checkpoint(path: Path, state: State) -> None:
    """Write a full state or weights to ``path``, whole or not at all."""
    import torch

    with replace_file(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> State:
    """Read what `save_checkpoint` wrote, tensors on the CPU; raises DamagedCheckpoint, FileNotFoundError."""
    import torch

    _check_content(path)
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DamagedCheckpointError(f"{path}: {str(error).splitlines()[0]}") from error
    return state


def is_own_state(state: Any) -> bool:
    """Return whether what a checkpoint file holds was written by Seedfold's own trainer."""
    return isinstance(state, dict) and state.get("format") == _FORMAT and ("file" in state or "position" in state)


def _check_content(path: Path) -> None:
    """Compare every record with its checksum, because torch reads a changed byte without an error."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise DamagedCheckpointError(f"{path}: is cut short or changed ({error})") from error
    if damaged is not None:
        raise DamagedCheckpointError(f"{path}: {damaged} in it is changed")


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint files of one fit, in its ``folder``; ``keep`` as in the settings."""

    folder: Path
    keep: str | int = "last+best"

    def save_state(self, state: State) -> None:
        """Make ``state`` the newest; the newest so far becomes the previous. Weights that neither names are removed."""
        last = self.folder / LAST_FILE
        with contextlib.suppress(FileNotFoundError):
            last.replace(self.folder / PREVIOUS_FILE)
        save_checkpoint(last, {**state, "format": _FORMAT})
        if _keeps_states(self.keep):
            position = state["position"]
            kept = self.folder / f"state-{position['epoch']:06d}-{position['step']:08d}.ckpt"
            _link_or_copy(last, kept)
            for path in _surplus_states(self.folder, self.keep):
                path.unlink(missing_ok=True)

    def save_best(self, epoch: int, value: float, weights: Mapping[str, Any]) -> BestEpoch:
        """Write the weights of a new best epoch; call before the state that names them is saved."""
        best = BestEpoch.for_epoch(epoch, value)
        save_checkpoint(self.folder / best.file, {"state_dict": dict(weights), **asdict(best), "format": _FORMAT})
        return best

    def remove_old_best(self, *kept: BestEpoch | None) -> None:
        """Remove the weights of former best epochs, except ``kept``, which the last and previous states name.

        Where more states are kept, these may name any of them, so that all stay.
        """
        if _keeps_states(self.keep):
            return
        keep = {best.file for best in kept if best is not None}
        for path in self.folder.glob("best-*.ckpt"):
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def newest_state(self) -> State | None:
        """Return the newest full state that is whole, or None to start from the beginning.

        Files that a process was writing when it was killed are removed.
        """
        for unfinished in self.folder.glob(".*.ckpt.*"):
            unfinished.unlink(missing_ok=True)
        kept = sorted(self.folder.glob(_STATES), reverse=True)
        for path in (self.folder / LAST_FILE, self.folder / PREVIOUS_FILE, *kept):
            state = _load_usable(path)
            if state is not None:
                return state
        return None

    def record_finished(self, fit: FinishedFit) -> None:
        """Record that training is finished; the files to continue from are then no longer needed."""
        _write_json(self.folder / FIT_FILE, {"format": _FORMAT, **asdict(fit)})
        (self.folder / PREVIOUS_FILE).unlink(missing_ok=True)
        self.remove_old_best(fit.best, *fit.heads.values())

    def finished_fit(self) -> FinishedFit | None:
        """Return the finished fit, or None if training has not finished."""
        try:
            record = json.loads((self.folder / FIT_FILE).read_text())
            best = record["best"] and BestEpoch(**record["best"])
            heads = {head: BestEpoch(**best_of_head) for head, best_of_head in record.get("heads", {}).items()}
            return FinishedFit(record["epochs"], best, record["weights"], tuple(record["history"]), heads)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s: not readable (%s), training again", self.folder / FIT_FILE, error)
            return None

    def weights_file(self, fit: FinishedFit, role: str) -> Path:
        """Return the file with the ``best`` or ``last`` weights of a finished fit.

        Raises DamagedCheckpointError if they were not kept: the job then has to train again.
        """
        if role not in fit.weights:
            roles = ", ".join(fit.weights) or "none"
            raise DamagedCheckpointError(f"{self.folder}: this fit has no {role} weights; it has {roles}")
        return self.folder / fit.weights[role]

    def heads_by_weights_file(self, fit: FinishedFit, role: str) -> dict[Path, tuple[str, ...]]:
        """Return each file of weights with the heads that it predicts; no heads: all. Raises as `weights_file`."""
        if role != "best" or not fit.heads:
            return {self.weights_file(fit, role): ()}
        files: dict[Path, tuple[str, ...]] = {}
        for head in fit.heads:
            path = self.weights_file(fit, f"{role}/{head}")
            files[path] = (*files.get(path, ()), head)
        return files

    def remove_fit(self) -> None:
        """Remove the record of the finish: the weights are missing or damaged, and training has to run again."""
        (self.folder / FIT_FILE).unlink(missing_ok=True)


def _load_usable(path: Path) -> State | None:
    try:
        state = load_checkpoint(path)
        if state["format"] != _FORMAT:
            raise DamagedCheckpointError(f"{path}: has format {state['format']}, this version writes {_FORMAT}")
        for best in (state["best"], *state.get("heads", {}).values()):
            if best is not None:
                _check_weights_file(path.with_name(best["file"]))
        return state
    except FileNotFoundError:
        return None
    except (DamagedCheckpointError, KeyError) as error:
        # A damaged state must not become the previous one when the next state is saved.
        _log.warning("cannot continue from %s (%s), going further back", path.name, error)
        path.unlink(missing_ok=True)
        return None


def _check_weights_file(path: Path) -> None:
    if not path.exists():
        raise DamagedCheckpointError(f"{path}: the best weights so far are missing")
    load_checkpoint(path)


def remove_unneeded_checkpoints(folder: Path, keep: str | int) -> int:
    """Remove what a published job no longer needs, as ``checkpoint.keep`` says, and return the bytes freed.

    ``last+best`` keeps the newest state and the best weights, ``last`` the newest state, ``none`` nothing (the fit runs
    again if it is needed again). ``all`` keeps all states, and a number that many of the newest, with the weights of
    all epochs that were the best so far. Call it only for a folder that no running job uses: several jobs may share
    one fit. Raises UsageError for another ``keep``.
    """
    if not is_keep_policy(keep):
        raise UsageError(f"checkpoint.keep: {keep!r} is not one of {', '.join(get_args(KeepPolicy))}, or a number")
    freed = 0
    if keep in ("last", "none") and (folder / FIT_FILE).exists():
        _remove_weights_from_fit(folder, keep)
    for path in _find_removable(folder, keep):
        freed += path.stat().st_size
        path.unlink(missing_ok=True)
    return freed


def _keeps_states(keep: str | int) -> bool:
    return keep == "all" or isinstance(keep, int)


def _link_or_copy(path: Path, new: Path) -> None:
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(path)
    except OSError:
        with replace_file(new) as temporary:
            shutil.copyfile(path, temporary)


def _surplus_states(folder: Path, keep: str | int) -> list[Path]:
    states = sorted(folder.glob(_STATES), reverse=True)
    return states[keep:] if isinstance(keep, int) else []


def _remove_weights_from_fit(folder: Path, keep: str | int) -> None:
    """Remove names of weights before the files, so that a fit never names a file that does not exist."""
    if keep == "none":
        (folder / FIT_FILE).unlink()
        return
    record = json.loads((folder / FIT_FILE).read_text())
    record["weights"] = {role: file for role, file in record["weights"].items() if role == "last"}
    _write_json(folder / FIT_FILE, record)


_UNNEEDED = {
    "last+best": (PREVIOUS_FILE, _STATES),
    "last": (PREVIOUS_FILE, _STATES, "best-*.ckpt"),
    "none": ("*.ckpt", "*.npz"),
}


def _find_removable(folder: Path, keep: str | int) -> Iterator[Path]:
    yield from _surplus_states(folder, keep)
    for pattern in (*_UNNEEDED.get(str(keep), (PREVIOUS_FILE,)), ".*.ckpt.*"):
        yield from folder.glob(pattern)
