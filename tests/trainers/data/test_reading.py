from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.reading import read_source
from seedfold.trainers.data.samples import Reads, Samples
from seedfold.trainers.learning.logits import to_logits_by_head

IDS, TARGETS, INPUTS = ("a", "b", "c"), np.array([0, 1, 1], dtype=np.int16), np.ones((3, 2))


class Own:
    """A source of somebody's own, which returns or raises what it is told."""

    def __init__(self, found: object) -> None:
        self.found = found

    def load(self, reads: Reads) -> object:
        reads(Path("cases.csv"))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def read_own(found: object) -> tuple[Samples, list[Path]]:
    files: list[Path] = []
    return read_source({"_target_": f"{__name__}.Given", "found": found}, "task.source", 2, files.append), files


def Given(found: object) -> Own:  # noqa: N802
    return Own(found)


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra copies arguments; these are to stay what they are."""
    monkeypatch.setattr("seedfold.trainers.data.reading.build", lambda node, key: Own(node["found"]))


def test_samples_of_any_number_type_become_those_that_training_takes() -> None:
    samples, files = read_own(Samples(IDS, INPUTS, TARGETS))
    assert (samples.inputs.dtype, samples.targets.dtype) == (np.float32, np.int64)  # type: ignore[union-attr]
    assert files == [Path("cases.csv")]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (KeyError("age"), r"task.source \(Own\): KeyError: 'age'"),
        (FileNotFoundError(2, "No such file", "x.wav"), r"task.source \(Own\): FileNotFoundError: .*x.wav"),
        (Samples(IDS, INPUTS[:2], TARGETS), r"task.source \(Own\): 3 ids, but 2 inputs"),
        (Samples(IDS, INPUTS, TARGETS, groups=np.array(["x"])), "3 ids, but 1 groups"),
        (Samples(IDS, INPUTS, TARGETS + 1), r"task.source \(Own\): row 2 \(b\) has target 2; task.classes is 2"),
        (Samples(IDS, INPUTS, TARGETS / 2), "targets are float64"),
        (Samples(IDS, np.array([["x"]] * 3), TARGETS), "inputs are <U1"),
        (Samples(IDS, INPUTS * np.nan, TARGETS), r"row 1 \(a\) has a missing or infinite input"),
    ],
)
def test_a_source_that_cannot_read_is_told_by_its_key(found: object, says: str) -> None:
    with pytest.raises(DataFailure, match=says) as caught:
        read_own(found)
    assert "\n" not in str(caught.value)


def test_something_else_than_samples_is_told() -> None:
    with pytest.raises(ConfigFailure, match=r"task.source \(Own\): load returned tuple; return .*Samples"):
        read_own((IDS, INPUTS, TARGETS))


@pytest.mark.parametrize(
    ("shapes", "classes", "says"),
    [
        ({"main": (4, 7)}, 3, r"returns shape \(4, 7\) for 4 samples of 3 classes; return logits \(4, 3\)$"),
        ({"main": (4, 3, 5)}, 3, r"returns shape \(4, 3, 5\)"),
        ({"main": (3,)}, 2, r"return logits \(4, 2\) or \(4, 1\) or \(4,\)"),
        ({"a": (4, 3), "b": (4, 1)}, 3, r"returns shape \(4, 1\) in head 'b'"),
    ],
)
def test_logits_of_a_wrong_shape_are_told(shapes: dict[str, tuple[int, ...]], classes: int, says: str) -> None:
    output = {head: torch.zeros(shape) for head, shape in shapes.items()}
    with pytest.raises(ConfigFailure, match=says):
        to_logits_by_head(output.get("main", output), 4, classes)


def test_logits_without_heads_get_one_and_two_dimensions() -> None:
    assert to_logits_by_head(torch.zeros(4), 4, 2)["main"].shape == (4, 1)
    with pytest.raises(ConfigFailure, match="model: returns tuple; return logits"):
        to_logits_by_head((torch.zeros(4),), 4, 2)
