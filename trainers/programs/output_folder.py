"""Hydra's output folder of a job. All attempts of a job have the same folder, and two jobs never share one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.work import Work

_RECORD_FILE = "output.json"
_OWNER_FILE = ".seedfold-job"


@dataclass(frozen=True)
class OutputFolder:
    """The folder that the function writes to: ``hydra.sweep.dir`` and ``hydra.sweep.subdir`` of the first attempt.

    Later attempts go on there, so that they find their own checkpoints; a folder of that name which is another job's
    is left alone, and one with the job's id behind it is taken.
    """

    path: Path
    record_file: Path

    @classmethod
    def for_job(cls, work: Work, config: DictConfig) -> OutputFolder:
        """Find the folder that an earlier attempt had, or take a new one."""
        note = work.folder / _RECORD_FILE
        if work.attempt == 0:
            # One job in the foreground, in a scratch folder, leaves those of attempts alone.
            return cls(work.folder / "output", note)
        if note.exists():
            path = Path(json.loads(note.read_text())["path"])
            path.mkdir(parents=True, exist_ok=True)
        else:
            path = _claim_folder(_configured_folder(config), work.description.id, work.attempt)
            temporary = note.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps({"path": str(path)}))
            temporary.rename(note)
        return cls(path, note)

    def set_in_config(self, config: DictConfig) -> None:
        """Make Hydra use this folder. What is configured stays as it is, as far as it names the folder."""
        configured = _configured_folder(config)
        OmegaConf.set_readonly(config.hydra, False)
        if self.path == configured:
            return
        sweep_folder = Path(str(config.hydra.sweep.dir)).absolute()
        if not self.path.is_relative_to(sweep_folder):
            sweep_folder = self.path.parent
            config.hydra.sweep.dir = _escape_interpolations(str(sweep_folder))
        config.hydra.sweep.subdir = _escape_interpolations(str(self.path.relative_to(sweep_folder)))

    def touch_if_progress(self, since: float) -> None:
        """Say that there is something to continue from if the function has written anything but its log since then."""
        kept = (path for path in self.path.rglob("*") if path.is_file() and path.suffix != ".log")
        if any(path.stat().st_mtime >= since for path in kept if ".hydra" not in path.parts):
            self.record_file.touch()


def _escape_interpolations(text: str) -> str:
    return text.replace("${", "\\${")


def _configured_folder(config: DictConfig) -> Path:
    HydraConfig.instance().set_config(config)
    return Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()


def _claim_folder(path: Path, job: str, attempt: int) -> Path:
    """Create a folder. If its name is taken, the job's id and attempt are appended to the name.

    The job itself may have taken it: one that is done again from its beginning must not find what it left there.
    """
    for candidate in (path, path.with_name(f"{path.name}-{job[:12]}")):
        candidate.mkdir(parents=True, exist_ok=True)
        if _try_claim(candidate, job):
            return candidate
    candidate = path.with_name(f"{path.name}-{job[:12]}-{attempt}")
    candidate.mkdir(parents=True, exist_ok=True)
    return candidate


def _try_claim(folder: Path, job: str) -> bool:
    if any(folder.iterdir()):
        return False
    try:
        with (folder / _OWNER_FILE).open("x") as file:
            file.write(job)
    except FileExistsError:
        return False
    return True
