"""The study of prevalence shift, small, from image files to tables, as its page of the documentation does it."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_server import training_command
from pages import HERE, run_page

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STUDY = ("experiment=prevalence_shifts", "size=tiny", "paths.data=data", "paths.scratch=scratch")
PAGE = HERE / "docs" / "studies" / "prevalence.md"
WHOLE = {"done": 38, "blocked": 2}


class Place:
    """The folder in which the page was followed, and commands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
        self.environment = {**os.environ, **own}

    @property
    def study(self) -> StudyFolder:
        return Root(self.folder / "runs").study_folder("prevalence_shifts")

    def run(self, *args: str) -> str:
        ended = subprocess.run(
            [training_command(), *args],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def states(self) -> dict[str, int]:
        states: dict[str, int] = json.loads(self.run("status", "prevalence_shifts", "--json"))["states"]
        return {state: count for state, count in states.items() if count}

    def attempts(self) -> Counter[tuple[str, int]]:
        """How many jobs of each stage are in which attempt."""
        ledger = Ledger(self.study)
        return Counter(
            (job.stage, ledger.record_of(job.id).latest_attempt) for job in ledger.plans.current_jobs.values()
        )

    def table(self, name: str) -> pd.DataFrame:
        [file] = self.study.path.glob(f"outputs/analyse/{name}.parquet")
        return pd.read_parquet(file)

    def predictions_of(self, stage: str, **axes: Any) -> Path:
        ledger = Ledger(self.study)
        [job] = [
            job for job in ledger.plans.current_jobs.values() if job.stage == stage and axes.items() <= job.axes.items()
        ]
        return self.study.result_folder(job.id, 1) / "predictions.app_test.parquet"


def test_small_study_runs_from_end_to_end_and_only_what_went_missing_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page makes the data and launches the study."""
    run_page(PAGE, tmp_path, monkeypatch)
    place = Place(tmp_path)
    assert place.states() == WHOLE
    assert {attempt for _, attempt in place.attempts()} == {1}
    assert "nothing to start" in place.run("launch", *STUDY, "--wait")
    _check_tables(place)

    place.predictions_of("reproduce", task="chexpert_cardiomegaly", seed=10).unlink()
    planned = json.loads(place.run("plan", *STUDY, "--json"))["stages"]
    assert (planned["reproduce"]["lost"], planned["reproduce"]["done"]) == (1, 5)
    place.run("launch", *STUDY, "--wait")
    assert place.states() == WHOLE
    again = {stage: count for (stage, attempt), count in place.attempts().items() if attempt == 2}
    assert again == {"reproduce": 1, "estimate": 2, "retrain_estimated": 2, "analyse": 1}
    assert len(list(tmp_path.glob("scratch/seedfold-*/*.npy"))) == 1, "the images of one task were read by three jobs"


def _check_tables(place: Place) -> None:
    estimated = place.table("quantification")
    assert set(estimated["method"]) == {"CC", "BBSE", "ACC"}
    jobs = ["task", "stage", "seed", "split_seed", "ratio", "method"]
    exact = estimated.groupby(jobs, dropna=False)["prevalence"]
    assert exact.sum().sub(1).abs().max() < 1e-9
    # Counts are cut to whole samples, of which there are few.
    found = (exact.max() / exact.min()).reset_index()
    assert (found["prevalence"] / found["ratio"]).between(0.9, 1.1).all()
    performed = place.table("performance")
    assert set(performed["stage"]) == {"reproduce", "resplit", "retrain_exact", "retrain_estimated"}
    retrained = performed[performed["imbalance_ratio"].notna()]
    assert (retrained["ratio"] == retrained["imbalance_ratio"]).all()
    assert performed.loc[performed["metric"] == "accuracy", "value"].between(0, 1).all()
    figures = {file.stem for file in place.study.path.glob("outputs/analyse/*.svg")}
    assert {"estimation", "calibration_app_test", "drift", "regret", "stages", "spread"} <= figures
    page = Path(place.run("report", "prevalence_shifts").strip()).read_text()
    assert "What training anew is worth" in page
