"""Progress is a later step in a checkpoint, and where no checkpoint says its step, any younger file."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from seedfold.orchestrator.ledger.checkpoint_progress import has_progressed, newest_step
from seedfold.orchestrator.ledger.layout import Root, StudyFolder

FIT = "ab" * 32
BEFORE, NOW = 1000.0, 2000.0


class Harmful:
    """What a checkpoint of somebody else may name."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


class Weights(OrderedDict[str, int]):
    """An ordered dictionary with an attribute, as the state of a module."""

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (), {"_metadata": {}}, None, iter(self.items())


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.chdir(tmp_path)
    return Root(tmp_path).study_folder("study")


def write(study: StudyFolder, name: str, state: Any, time: float = NOW) -> Path:
    """Write a checkpoint as torch.save does: an archive with a pickle in it."""
    path = study.job_folder(FIT) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(state, protocol=2))
    os.utime(path, (time, time))
    return path


@pytest.mark.parametrize(
    ("state", "before", "progressed"),
    [
        ({"position": {"epoch": 2, "step": 5}}, [2, 4], True),
        ({"position": {"epoch": 2, "step": 5}}, [2, 5], False),
        ({"position": {"epoch": 2, "step": 5}}, [1, 900], True),
        ({"epoch": 0, "global_step": 7, "state_dict": Weights(a=1)}, [0, 7], False),
        ({"epoch": 0, "global_step": 7, "callbacks": Harmful()}, None, True),
        ({"weights": 1}, [2, 5], True),
        (Harmful(), [2, 5], True),
    ],
)
def test_a_checkpoint_is_progress_if_its_step_is_later(
    study: StudyFolder, state: Any, before: list[int] | None, progressed: bool
) -> None:
    write(study, "run/checkpoints/last.ckpt", state)
    assert has_progressed(study, FIT, NOW - 1, before) is progressed
    assert not Path("harm").exists()


def test_only_what_is_new_counts(study: StudyFolder) -> None:
    assert newest_step(study, FIT) is None
    assert not has_progressed(study, FIT, NOW, None)
    write(study, "last.ckpt", {"position": {"epoch": 1, "step": 2}}, BEFORE)
    write(study, "log.1.txt", {})
    assert newest_step(study, FIT) == [1, 2]
    assert not has_progressed(study, FIT, NOW - 1, [1, 2])


def test_a_file_beside_a_checkpoint_of_the_same_step_is_no_progress(study: StudyFolder) -> None:
    write(study, "last.ckpt", {"position": {"epoch": 1, "step": 2}})
    write(study, "table.npz", {})
    assert not has_progressed(study, FIT, NOW - 1, [1, 2])


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut short", b"text"])
def test_a_damaged_checkpoint_says_no_step(study: StudyFolder, content: bytes) -> None:
    path = write(study, "last.ckpt", {"position": {"epoch": 1, "step": 2}})
    path.write_bytes(content)
    os.utime(path, (NOW, NOW))
    assert newest_step(study, FIT) is None
    assert has_progressed(study, FIT, NOW - 1, None)
