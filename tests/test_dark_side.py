"""The study of faults, small, from seismic volumes to masks; killed and resumed, and its weights used on their own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from killing import jobs, results
from toyproject import SEEDFOLD

from seedfold.orchestrator.layout import Root, StudyFolder

pytest.importorskip("monai")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = ("experiment=dark_side", "size=tiny", "paths.data=data", "--wait")
OUTPUTS = {"submission.npz", "known.npz", "dice.csv", "dice_volumes.csv", "dice.svg", "slices.png"}


class Place:
    """A folder with the data, in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
        self.run("make-data", "dark_side", "--out", "data")

    def start(self, *args: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([SEEDFOLD, *args], cwd=self.folder, env=self.environment, text=True, **pipes)

    def run(self, *args: str) -> str:
        started = self.start(*args)
        output, _ = started.communicate(timeout=1500)
        assert started.returncode == 0, output
        return output

    def study(self, root: str, name: str = "dark_side") -> StudyFolder:
        return Root(self.folder / root).study(name)


def kill_all_jobs(study: StudyFolder, launched: subprocess.Popen[str], when: str) -> None:
    """Kill every job without a word, once there is a file that a job of a kind goes on from."""
    while not list(study.path.glob(f"jobs/*/*/{when}")) and launched.poll() is None:
        time.sleep(0.02)
    for process in jobs(study):
        for each in [process, *process.children(recursive=True)]:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue


def test_killed_or_not_the_study_ends_with_the_same_masks(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run("launch", *STUDY, "--root", "whole")
    launched = place.start("launch", *STUDY, "--root", "killed", "checkpoint.every_seconds=0")
    kill_all_jobs(place.study("killed"), launched, "previous.ckpt")
    launched.communicate(timeout=1500)
    launched = place.start("resume", "dark_side", "--wait", "--root", "killed")
    kill_all_jobs(place.study("killed"), launched, "volumes/test/*.json")
    launched.communicate(timeout=1500)
    place.run("resume", "dark_side", "--wait", "--root", "killed")
    whole, killed = place.study("whole"), place.study("killed")
    assert results(whole) == results(killed)
    first, second = (_outputs(study) for study in (whole, killed))
    assert {path.name for path in first.iterdir()} == OUTPUTS
    for name in OUTPUTS - {"dice.svg"}:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    _check(place, first)
    _infer_from_a_folder_of_weights(place, first)


def _outputs(study: StudyFolder) -> Path:
    [folder] = (study.outputs / "ensemble").iterdir()
    return folder


def _check(place: Place, outputs: Path) -> None:
    scores = pd.read_csv(outputs / "dice.csv")
    assert scores.groupby("model").size().to_dict() == {
        **{f"fold={fold}": 5 for fold in range(5)}, "ensemble": 1, "everything": 1,
    }  # fmt: skip
    whole = scores[scores["axis"].isna()].set_index("model")["dice"]
    assert whole["ensemble"] > 2 * whole["everything"]
    with np.load(outputs / "submission.npz") as masks:
        for name, mask in masks.items():
            [cube] = (place.folder / "data" / "test" / name).glob("*.npy")
            assert mask.shape == np.load(cube, mmap_mode="r").shape
            assert set(np.unique(mask)) == {0, 1}
        assert len(masks.files) == 2


def _infer_from_a_folder_of_weights(place: Place, outputs: Path) -> None:
    """A job of its own makes the same masks, to the rounding of the probabilities that are kept."""
    place.run(
        "launch", "experiment=dark_side_infer", "size=tiny", "paths.data=data/test", "--root", "other", "--wait",
        f"infer.weights={place.study('whole').outputs / 'train'}",
    )  # fmt: skip
    [file] = place.study("other", "dark_side_infer").outputs.glob("ensemble/submission.npz")
    with np.load(file) as found, np.load(outputs / "submission.npz") as expected:
        assert sorted(found.files) == sorted(expected.files)
        assert all(np.mean(found[name] != expected[name]) < 1e-3 for name in found.files)
