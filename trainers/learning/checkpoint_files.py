"""Checkpoint files in a job's folder, written so that a process may die at any instant.

``last.ckpt`` is the newest full state and ``previous.ckpt`` the one before it; ``best-EPOCH.ckpt`` holds the weights
of the best epoch, or of the best epoch of some heads, as named by a full state. ``fit.json`` exists only when training
is finished and its weights are on disk. Every file is written under another name, flushed to disk and renamed. A state
that is damaged, or whose best weights are gone, is removed and the one before it taken. Nothing is ever unpickled but
tensors and plain values (``weights_only=True``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from seedfold.jobs.errors import UsageError
from seedfold.results.store.atomic_files import replacing
from seedfold.trainers.setup.settings import Keep

_log = logging.getLogger(__name__)

LAST, PREVIOUS, FIT = "last.ckpt", "previous.ckpt", "fit.json"
_FORMAT = 1
State = dict[str, Any]


class DamagedCheckpoint(Exception):
    """A checkpoint file that is not what was written."""


@dataclass(frozen=True)
class Best:
    """The best epoch so far (from 0), its monitored value and the file with its weights."""

    epoch: int
    value: float
    file: str

    @classmethod
    def of(cls, epoch: int, value: float) -> Best:
        """Name the file that the weights of an epoch go to."""
        return cls(epoch, value, f"best-{epoch:06d}.ckpt")


@dataclass(frozen=True)
class Fit:
    """A finished training: what ``fit.json`` says.

    ``weights`` names the files by role: ``best``, ``last``, and where heads have best epochs of their own ``heads``,
    ``best/HEAD``.
    """

    epochs: int
    best: Best | None
    weights: Mapping[str, str]
    history: tuple[Mapping[str, float], ...]
    heads: Mapping[str, Best] = field(default_factory=dict)

    @classmethod
    def of(
        cls, epochs: int, best: Best | None, heads: Mapping[str, Best], history: tuple[Mapping[str, float], ...]
    ) -> Fit:
        """Describe a training that has kept its last state and the weights of its best epochs."""
        weights = {"last": LAST} | ({"best": best.file} if best else {})
        weights |= {f"best/{head}": own.file for head, own in heads.items()}
        return cls(epochs, best, weights, history, heads)


def save(path: Path, state: State) -> None:
    """Write a full state or weights to ``path``, whole or not at all."""
    import torch

    with replacing(path) as beside:
        torch.save(state, beside)


def load(path: Path) -> State:
    """Read what `save` wrote, tensors on the CPU; raises DamagedCheckpoint, FileNotFoundError."""
    import torch

    _check_content(path)
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DamagedCheckpoint(f"{path}: {str(error).splitlines()[0]}") from error
    return state


def _check_content(path: Path) -> None:
    """Compare every record with its checksum: torch reads a changed byte without a word."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise DamagedCheckpoint(f"{path}: is cut short or changed ({error})") from error
    if damaged is not None:
        raise DamagedCheckpoint(f"{path}: {damaged} in it is changed")


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(record, indent=1))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint files of one fit, in its ``folder``."""

    folder: Path

    def save_state(self, state: State) -> None:
        """Make ``state`` the newest; the one before becomes the previous. Weights that neither names are removed."""
        last = self.folder / LAST
        with contextlib.suppress(FileNotFoundError):
            last.replace(self.folder / PREVIOUS)
        save(last, {**state, "format": _FORMAT})

    def save_best(self, epoch: int, value: float, weights: Mapping[str, Any]) -> Best:
        """Write the weights of a new best epoch; call before the state that names them is saved."""
        best = Best.of(epoch, value)
        save(self.folder / best.file, {"state_dict": dict(weights), **asdict(best), "format": _FORMAT})
        return best

    def forget_best(self, *needed: Best | None) -> None:
        """Remove the weights of former best epochs, except ``needed``: those the last and previous states name."""
        keep = {best.file for best in needed if best is not None}
        for path in self.folder.glob("best-*.ckpt"):
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def newest_state(self) -> State | None:
        """Return the newest full state that is whole, or None to start from the beginning.

        What a process was writing when it was killed is removed.
        """
        for unfinished in self.folder.glob(".*.ckpt.*"):
            unfinished.unlink(missing_ok=True)
        for path in (self.folder / LAST, self.folder / PREVIOUS):
            state = _usable(path)
            if state is not None:
                return state
        return None

    def finish(self, fit: Fit) -> None:
        """Record that training is finished; what it took to get there is then no longer needed."""
        _write_json(self.folder / FIT, {"format": _FORMAT, **asdict(fit)})
        (self.folder / PREVIOUS).unlink(missing_ok=True)
        self.forget_best(fit.best, *fit.heads.values())

    def finished(self) -> Fit | None:
        """Return the finished fit, or None where training has still to run."""
        try:
            record = json.loads((self.folder / FIT).read_text())
            best = record["best"] and Best(**record["best"])
            heads = {head: Best(**own) for head, own in record.get("heads", {}).items()}
            return Fit(record["epochs"], best, record["weights"], tuple(record["history"]), heads)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s: not readable (%s), training again", self.folder / FIT, error)
            return None

    def weights(self, fit: Fit, role: str) -> Path:
        """Return the file with the ``best`` or ``last`` weights of a finished fit.

        Raises DamagedCheckpoint if they were not kept: whoever needs them has to train again.
        """
        if role not in fit.weights:
            kept = ", ".join(fit.weights) or "none"
            raise DamagedCheckpoint(f"{self.folder}: this fit has no {role} weights; it has {kept}")
        return self.folder / fit.weights[role]

    def weights_by_head(self, fit: Fit, role: str) -> dict[Path, tuple[str, ...]]:
        """Return each file to predict from and the heads that it is for; none named: all. Raises as `weights` does."""
        if role != "best" or not fit.heads:
            return {self.weights(fit, role): ()}
        files: dict[Path, tuple[str, ...]] = {}
        for head in fit.heads:
            path = self.weights(fit, f"{role}/{head}")
            files[path] = (*files.get(path, ()), head)
        return files

    def discard_fit(self) -> None:
        """Take the finish back: its weights are gone or damaged, and training has to run again."""
        (self.folder / FIT).unlink(missing_ok=True)


def _usable(path: Path) -> State | None:
    try:
        state = load(path)
        if state["format"] != _FORMAT:
            raise DamagedCheckpoint(f"{path}: has format {state['format']}, this version writes {_FORMAT}")
        for best in (state["best"], *state.get("heads", {}).values()):
            if best is not None:
                _check_weights(path.with_name(best["file"]))
        return state
    except FileNotFoundError:
        return None
    except (DamagedCheckpoint, KeyError) as error:
        # It must not become the previous state when the next one is saved.
        _log.warning("cannot continue from %s (%s), going further back", path.name, error)
        path.unlink(missing_ok=True)
        return None


def _check_weights(path: Path) -> None:
    if not path.exists():
        raise DamagedCheckpoint(f"{path}: the best weights so far are gone")
    load(path)


def clean_up(folder: Path, keep: str) -> int:
    """Remove what a published job no longer needs, as ``checkpoint.keep`` says, and return the bytes freed.

    ``last+best`` keeps the newest state and the best weights, ``last`` the newest state, ``none`` nothing (the fit
    runs again if it is needed again). Only for a folder that no live job uses: several jobs may share one fit.
    Raises UsageError for another ``keep``.
    """
    if keep not in get_args(Keep):
        raise UsageError(f"checkpoint.keep: {keep!r} is none of {', '.join(get_args(Keep))}")
    freed = 0
    if keep != "last+best" and (folder / FIT).exists():
        _shrink_fit(folder, keep)
    for path in _removable(folder, keep):
        freed += path.stat().st_size
        path.unlink(missing_ok=True)
    return freed


def _shrink_fit(folder: Path, keep: str) -> None:
    """Unname weights before they are removed, so that a fit never names a file that is not there."""
    if keep == "none":
        (folder / FIT).unlink()
        return
    record = json.loads((folder / FIT).read_text())
    record["weights"] = {role: file for role, file in record["weights"].items() if role == "last"}
    _write_json(folder / FIT, record)


def _removable(folder: Path, keep: str) -> Iterator[Path]:
    patterns = {"last+best": (PREVIOUS,), "last": (PREVIOUS, "best-*.ckpt"), "none": ("*.ckpt", "*.npz")}[keep]
    for pattern in (*patterns, ".*.ckpt.*"):
        yield from folder.glob(pattern)
