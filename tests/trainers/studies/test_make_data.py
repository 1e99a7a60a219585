"""Every experiment that is shipped can ask for sample data by its own name."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import seedfold
from seedfold.orchestrator.cli.group import cli

EXPERIMENTS = sorted(path.stem for path in Path(seedfold.__path__[0], "conf", "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_known(experiment: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    ended = CliRunner().invoke(cli, ["make-data", experiment, "--out", str(tmp_path)])
    assert ended.exit_code == 2
    reasons = ("is not empty, and make-data did not write it", "needs no files: it reads data that scikit-learn brings")
    assert any(reason in ended.output for reason in reasons), ended.output


@pytest.mark.slow
def test_it_says_whose_data_an_experiment_reads(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    ended = CliRunner().invoke(cli, ["make-data", "melanoma_metadata", "--out", str(tmp_path / "data")])
    assert ended.output.endswith("data: sample data for melanoma, size tiny, which melanoma_metadata reads\n")
    again = CliRunner().invoke(cli, ["make-data", "melanoma", "--out", str(tmp_path / "data")])
    assert again.exit_code == 0, again.output
