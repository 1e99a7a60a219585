from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli.make_data import command
from seedfold.trainers.data.split_table import Fractions, make_split_counts
from seedfold.trainers.studies.sample_data import make

Image = pytest.importorskip("PIL.Image")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "data"
    ended = CliRunner().invoke(command, ["prevalence_shifts", "--out", str(folder)])
    assert ended.exit_code == 0, ended.output
    return folder


def test_every_label_has_an_image_of_its_own_size_as_png_or_jpeg(made: Path) -> None:
    for task in (path for path in made.iterdir() if path.is_dir()):
        table = pd.read_csv(task / "labels.csv")
        assert sorted(table["file"]) == sorted(path.name for path in (task / "images").iterdir())
        sizes, formats = set(), set()
        for name in table["file"][:30]:
            with Image.open(task / "images" / name) as image:
                sizes.add(image.size)
                formats.add(image.format)
        assert formats == {"PNG", "JPEG"}
        assert len(sizes) > 10


def test_deployment_can_be_scaled_in_two_tasks_and_not_far_in_one(made: Path) -> None:
    """The rarest class of a test set that is scaled to a ratio has max / ratio samples at most; nine are needed."""
    tables = [pd.read_csv(table) for table in sorted(made.glob("*/labels.csv"))]
    largest = []
    for table in tables:
        counts = make_split_counts(np.bincount(table["label"]).tolist(), Fractions())
        assert min(map(min, counts.values())) > 0
        largest.append(max(counts["app_test"]))
    assert len(largest) >= 3
    assert all(count // 2 >= 9 for count in largest)
    assert min(largest) // 10 < 9 <= max(largest) // 10


@pytest.mark.slow
def test_it_is_the_same_every_time_and_takes_the_place_of_what_it_wrote(made: Path, tmp_path: Path) -> None:
    before = contents(made)
    make("prevalence_shifts", tmp_path / "again", "tiny")
    assert contents(tmp_path / "again") == before
    (made / "brain_tumor_classification" / "images" / "00000.png").unlink()
    make("prevalence_shifts", made, "tiny")
    assert contents(made) == before


@pytest.mark.parametrize(
    ("study", "size", "says"),
    [
        ("prevalence_shift", "tiny", "did you mean 'prevalence_shifts'"),
        ("prevalence_shifts", "huge", "--size huge: prevalence_shifts has tiny, small"),
        ("prevalence_shifts", "tiny", "is not empty, and make-data did not write it"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(tmp_path: Path, study: str, size: str, says: str) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=says):
        make(study, tmp_path, size)
    assert contents(tmp_path) == {"mine.txt": b"x"}
