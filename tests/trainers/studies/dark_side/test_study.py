"""The study of faults, small, from seismic volumes to masks; killed and tried again, and its weights on their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_study import ImageStudy, each_done_once, has_checkpoint
from killed_processes import read_results
from toyproject import read_files

from seedfold.orchestrator.ledger.layout import StudyFolder

pytest.importorskip("monai")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = ("experiment=dark_side", "size=tiny", "paths.data=data", "--wait")
OUTPUTS = {"submission.npz", "known.npz", "dice.csv", "dice_volumes.csv", "dice.svg", "slices.png"}


def in_a_volume(study: StudyFolder) -> bool:
    """Whether a part of a volume has its masks."""
    return any(study.path.glob("jobs/*/*/volumes/test/*.json"))


def test_killed_or_not_the_study_ends_with_the_same_masks(tmp_path: Path) -> None:
    """Done undisturbed, and two of its networks with kills: once in training, once in the middle of a volume."""
    place = ImageStudy(tmp_path, "dark_side")
    place.run("launch", *STUDY, "--root", "whole")
    two = (*STUDY, "fold=0,2", "checkpoint.every_seconds=0.3")
    place.kill_jobs_when("launch", *two, conditions=(has_checkpoint, in_a_volume))
    whole, killed = place.study_folder("whole"), place.study_folder("killed")
    assert each_done_once(whole)
    assert each_done_once(killed)
    # The mean of two networks is not that of all.
    [mean] = read_results(killed).keys() - read_results(whole).keys()
    masks = {name: content for name, content in _stored_files(killed).items() if not name.startswith(mean)}
    assert sum(name.endswith(".npy") for name in masks) > 4
    assert masks.items() <= _stored_files(whole).items()
    outputs = whole.outputs_folder / "ensemble"
    assert {path.name for path in outputs.iterdir()} == OUTPUTS
    _check(place, outputs)
    _infer_from_a_folder_of_weights(place, outputs)


def _stored_files(study: StudyFolder) -> dict[str, bytes]:
    """What jobs computed, by job and file; logs, times and hosts are left out."""
    files = read_files(study.path / "store")
    own = {name: content for name, content in files.items() if name.endswith((".npy", ".csv", ".parquet"))}
    return {"/".join([Path(name).parts[1].split(".")[0], *Path(name).parts[2:]]): own[name] for name in own}


def _check(place: ImageStudy, outputs: Path) -> None:
    scores = pd.read_csv(outputs / "dice.csv")
    assert scores.groupby("model").size().to_dict() == {
        **{f"small_unet fold={fold}": 5 for fold in (0, 1, 3, 4)}, "small_unet vertical": 5,
        "ensemble": 1, "everything": 1,
    }  # fmt: skip
    whole = scores[scores["axis"].isna()].set_index("model")["dice"]
    assert whole["ensemble"] > 2 * whole["everything"]
    volumes = pd.read_csv(outputs / "dice_volumes.csv")
    of_ensemble = volumes[volumes["model"] == "ensemble"].set_index("volume")["dice"]
    assert any("2024" in str(name) for name in of_ensemble.index), "amplitudes have swapped axes"
    assert of_ensemble.min() > 0.3, "far above a mask that does not match: 0.07"
    with np.load(outputs / "submission.npz") as masks:
        for name, mask in masks.items():
            [cube] = (place.folder / "data" / "test" / name).glob("*.npy")
            assert mask.shape == np.load(cube, mmap_mode="r").shape
            assert set(np.unique(mask)) == {0, 1}
        assert len(masks.files) == 2


def _infer_from_a_folder_of_weights(place: ImageStudy, outputs: Path) -> None:
    """A job of its own makes the same masks, to the rounding of the probabilities that are kept."""
    place.run(
        "launch", "experiment=dark_side_infer", "size=tiny", "paths.data=data/test", "--root", "other", "--wait",
        f"infer.weights={place.study_folder('whole').outputs_folder / 'train'}",
    )  # fmt: skip
    [file] = place.study_folder("other", "dark_side_infer").outputs_folder.glob("ensemble/submission.npz")
    with np.load(file) as found, np.load(outputs / "submission.npz") as expected:
        assert sorted(found.files) == sorted(expected.files)
        assert all(np.mean(found[name] != expected[name]) < 1e-3 for name in found.files)
