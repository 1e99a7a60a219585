"""Hydra's output folder of a job: the same for all attempts at it, and never another job's."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.work import Work

_KEPT = "output.json"
_OWNER = ".seedfold-job"


@dataclass(frozen=True)
class OutputFolder:
    """Where the function finds itself writing: ``hydra.sweep.dir`` and ``hydra.sweep.subdir`` of the first attempt.

    Later attempts go on there, so that they find their own checkpoints; a folder of that name which is another job's
    is left alone, and one with the job's id behind it is taken.
    """

    path: Path
    note: Path

    @classmethod
    def of(cls, work: Work, config: DictConfig) -> OutputFolder:
        """Find the folder that an earlier attempt had, or take a new one."""
        note = work.folder / _KEPT
        if work.attempt == 0:
            # One job in the foreground, in a scratch folder, leaves those of attempts alone.
            return cls(work.folder / "output", note)
        if note.exists():
            path = Path(json.loads(note.read_text())["path"])
            path.mkdir(parents=True, exist_ok=True)
        else:
            path = _take(_asked_for(config), work.description.id, work.attempt)
            beside = note.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps({"path": str(path)}))
            beside.rename(note)
        return cls(path, note)

    def name_in(self, config: DictConfig) -> None:
        """Have Hydra use this folder."""
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.sweep.dir = _literal(str(self.path.parent))
        config.hydra.sweep.subdir = _literal(self.path.name)

    def note_progress(self, since: float) -> None:
        """Say that there is something to continue from if the function has written anything but its log since then."""
        kept = (path for path in self.path.rglob("*") if path.is_file() and path.suffix != ".log")
        if any(path.stat().st_mtime >= since for path in kept if ".hydra" not in path.parts):
            self.note.touch()


def _literal(text: str) -> str:
    return text.replace("${", "\\${")


def _asked_for(config: DictConfig) -> Path:
    HydraConfig.instance().set_config(config)
    return Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()


def _take(path: Path, job: str, attempt: int) -> Path:
    """Create a folder, or one with the job's id and attempt behind its name where it is taken already.

    The job itself may have taken it: one that is done again from its beginning must not find what it left there.
    """
    for candidate in (path, path.with_name(f"{path.name}-{job[:12]}")):
        candidate.mkdir(parents=True, exist_ok=True)
        if _is_free(candidate, job):
            return candidate
    candidate = path.with_name(f"{path.name}-{job[:12]}-{attempt}")
    candidate.mkdir(parents=True, exist_ok=True)
    return candidate


def _is_free(folder: Path, job: str) -> bool:
    if any(folder.iterdir()):
        return False
    try:
        with (folder / _OWNER).open("x") as file:
            file.write(job)
    except FileExistsError:
        return False
    return True
