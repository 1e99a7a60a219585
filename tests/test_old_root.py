"""A root that an earlier version wrote is read, resumed and reported, whatever names things have in the code by now.

In it stand dotted names as that version had them: of functions (``run``), of classes (``_target_``), also in the files
of users, and in pickles of jobs that still wait in a queue. Results are found by ids that were made from such names.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clusters.lsf.cluster import Lsf
from command_server import forked_python, training_command
from old_root import describe_study, read_record, unpack, unpack_to_go_on
from toyproject import Toy, wait_until

VERSION = "0.1"
RECORD = read_record(VERSION)
STUDIES = sorted(RECORD["studies"])
LAUNCHED = [study for study in STUDIES if RECORD["studies"][study]["asked"]]
HERE = ("cluster.snapshot=false", "cluster.slots=2")
OTHER_PROCESSOR = {"abs": 1e-3}
"""How far the numbers of one machine may be from those of another."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The project as it was kept, to look at only."""
    return unpack(VERSION, tmp_path_factory.mktemp("old"))


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Toy]:
    """The project, to go on with."""
    yield from unpack_to_go_on(VERSION, tmp_path)


def said(study: str) -> Any:
    """What the old version said of a study."""
    return RECORD["studies"][study]


THEN = {
    "dark_side": [
        'task.volumes.swapped=["2022"]', 'new_volumes.swapped=["2022"]', "task.volumes.excluded=[survey_2023_0005]",
        "loss.function.smooth=1e-5",
    ],
}  # fmt: skip
"""Settings whose defaults have changed since, as they were; what is computed from them has changed as well."""
COMPUTED_OTHERWISE = {
    "slices": "seedfold.trainers.studies.dark_side.slices_stage.run",
    "new_slices": "seedfold.trainers.studies.dark_side.slices_stage.run",
    "train": "seedfold.trainers.stages.fit_masks.run",
    "infer": "seedfold.trainers.studies.dark_side.infer_stage.run",
}
"""Stages of ``dark_side`` whose numbers a later version has declared to be others."""


def asked(study: str) -> list[str]:
    """What the old version was asked for, with the settings that it had."""
    listed: list[str] = said(study)["asked"]
    return [*listed, *THEN.get(study, ())]


def told_now(study: str) -> list[dict[str, Any]]:
    """What is said of the jobs today: as then, and that the numbers of some stages are others by now."""
    otherwise = COMPUTED_OTHERWISE if study == "dark_side" else {}
    return [
        {**job, "stale": f"code {otherwise[job['stage']]}"}
        if job["state"] == "done" and job["stage"] in otherwise
        else job
        for job in said(study)["jobs"]
    ]


def by_id(description: Any) -> dict[str, Any]:
    return {job["id"]: job for job in description["jobs"]}


def saved(toy: Toy, study: str) -> dict[str, Any]:
    """The states that training goes on from, by the fit that they are of."""
    import torch

    files = [
        file for file in toy.study(study).path.glob("jobs/*/*/last.ckpt") if not file.with_name("fit.json").exists()
    ]
    return {file.parent.name: torch.load(file, weights_only=True) for file in files}


def check_continued(toy: Toy, study: str, states: dict[str, Any]) -> None:
    """Each training went on from its state: it has the epochs that were learnt before, and logged the others only."""
    jobs = [job for job in describe_study(toy, study, ())["jobs"] if job["fit"] in states]
    assert {job["fit"] for job in jobs} == set(states)
    for job in jobs:
        position, attempt = states[job["fit"]]["position"], len(job["attempts"])
        [folder] = toy.study(study).path.glob(f"store/*/{job['id']}.*")
        with (folder / "epochs.csv").open() as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        assert rows[: position["epoch"]] == position["history"]
        log = toy.study(study).path / "jobs" / job["id"][:2] / job["id"] / f"log.{attempt}.txt"
        assert log.read_text().count("train/loss") == len(rows) - position["epoch"]


def check_kept(toy: Toy, study: str) -> None:
    """What was done is as it was, and nobody has tried it again."""
    now = by_id(describe_study(toy, study, ()))
    done = {job: each for job, each in by_id({"jobs": told_now(study)}).items() if each["state"] == "done"}
    assert {job: now[job] for job in done} == done


# --- read ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_each_job_is_what_and_how_it_was(old: Toy, study: str) -> None:
    before = {key: value for key, value in said(study).items() if key != "asked"} | {"jobs": told_now(study)}
    assert describe_study(old, study, asked(study)) == before


@pytest.mark.parametrize("study", LAUNCHED)
def test_a_plan_finds_each_job_in_its_place(old: Toy, study: str) -> None:
    stages = old.json_of("plan", *asked(study))["stages"]
    states = Counter(job["state"] for job in said(study)["jobs"])
    assert sum(stage["new"] for stage in stages.values()) == 0
    assert sum(stage["stale"] for stage in stages.values()) == sum(job["stale"] is not None for job in told_now(study))
    assert {state: sum(stage[state] for stage in stages.values()) for state in states} == states


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_a_report_shows_what_was_done(old: Toy, study: str) -> None:
    page = Path(old.output_of("report", study, "--out", str(old.folder / f"{study}.html")).strip()).read_text()
    done = [job for job in said(study)["jobs"] if job["state"] == "done"]
    assert done
    assert [job["id"][:12] for job in done if job["id"][:12] not in page] == []


def test_status_knows_what_was_replaced_and_what_waits_in_a_queue_elsewhere(old: Toy) -> None:
    replaced = [line.split()[0] for line in old.output_of("status", "shapes", "--superseded").splitlines()]
    assert Counter(replaced) == {"done": 1, "waiting": 9}
    told = old.output_of("status", "guesses")
    assert f"2 tasks queued when the root was {RECORD['folder']}/runs" in told
    assert old.states("guesses") == {"done": 1, "submitted": 2}


def test_what_was_imported_is_still_there_and_is_nothing_to_run(old: Toy) -> None:
    told = old.output_of("import", "away.csv", "--study", "away", "--set", "site=north", "--set", "seed=3")
    assert "was imported before" in told
    refused = old.run_in_process("run", said("away")["jobs"][0]["id"])
    assert refused.returncode == 2
    assert "was imported and cannot be run" in refused.stderr


def test_tasks_that_wait_in_a_queue_find_what_they_are_to_call(old: Toy) -> None:
    """They were handed a pickle of it, and start when their turn comes, whatever has been installed meanwhile."""
    files = sorted(old.study("guesses").path.glob("submissions/**/task.pkl"))
    calls = [pickle.loads(file.read_bytes()).function for file in files]
    assert sorted(call.__name__ for call in calls) == ["keep_going", "work_in_task"]


# --- go on -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_trainings_that_were_stopped_or_killed_go_on_from_their_states(moved: Toy) -> None:
    states = saved(moved, "digits")
    assert len(states) == 3
    moved.trained_output_of("resume", "digits", "--wait")
    assert moved.states("digits") == {"done": 8}
    check_continued(moved, "digits", states)
    check_kept(moved, "digits")
    assert "nothing to start" in moved.trained_output_of("launch", *asked("digits"), *HERE, "--wait")
    assert len(json.loads(moved.output_of("results", "digits", "oof", "--format", "json"))) == 4 * _development_samples(
        moved
    )


def _development_samples(toy: Toy) -> int:
    """How many samples the folds of one seed have together."""
    jobs = {job["id"][:12]: job for job in said("digits")["jobs"] if job["axes"]["seed"] == 0}
    rows = json.loads(toy.output_of("results", "digits", "predictions", "--split", "val", "--format", "json"))
    return sum(row["job"] in jobs for row in rows)


@pytest.mark.slow
def test_stages_that_were_not_begun_follow_those_that_were_done(moved: Toy) -> None:
    pytest.importorskip("monai")
    states = saved(moved, "dark_side")
    assert len(states) == 1
    moved.trained_output_of("launch", *asked("dark_side"), *HERE, "--wait")
    assert moved.states("dark_side") == {"done": 12, "waiting": 1}, "an ensemble does not mix versions of the code"
    check_continued(moved, "dark_side", states)
    check_kept(moved, "dark_side")
    moved.trained_output_of("launch", *asked("dark_side"), *HERE, "--wait", "--rerun", "stale")
    assert moved.states("dark_side") == {"done": 13}
    assert (moved.study("dark_side").outputs_folder / "ensemble" / "submission.npz").exists()


@pytest.mark.slow
def test_a_job_in_the_foreground_reads_weights_that_were_left_for_it(moved: Toy) -> None:
    """A network with other weights would find other faults."""
    pytest.importorskip("monai")
    [job] = [job for job in said("dark_side")["jobs"] if job["stage"] == "infer" and job["state"] == "done"]
    ended = moved.run("run", job["id"], "--study", "dark_side", program=training_command())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    [file] = [line.removeprefix("wrote ") for line in ended.stdout.splitlines() if line.endswith("/metrics.json")]
    values = [each["value"] for each in json.loads(Path(file).read_text())]
    assert values == pytest.approx([each["value"] for each in job["metrics"]], **OTHER_PROCESSOR)


@pytest.mark.slow
def test_studies_of_a_user_go_on_under_the_names_in_their_files(moved: Toy) -> None:
    states = saved(moved, "shapes")
    assert len(states) == 1
    moved.run("resume", "shapes", "--where", "fold=1", "--wait", program=training_command())
    check_continued(moved, "shapes", states)
    check_kept(moved, "shapes")
    by_stage = moved.json_of("status", "shapes")["stages"]
    assert by_stage["train"]["done"] == 4
    assert {state: count for state, count in by_stage["count"].items() if count} == {
        "done": 2,
        "blocked": 2,
        "failed": 2,
    }
    more = (*asked("shapes"), *HERE, "study=more", "--stage", "train")
    planned = moved.json_of("plan", *asked("shapes"), "study=more")["stages"]["train"]
    assert (planned["done"], planned["new"]) == (4, 0)
    moved.trained_output_of("launch", *more, "trainer.max_epochs=2", "--where", "fold=0", "--wait")
    assert moved.json_of("status", "more")["stages"]["train"]["done"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("lsf_dialect", ["lsf10"], indirect=True)
def test_what_was_queued_elsewhere_is_queued_here(moved: Toy, lsf: Lsf) -> None:
    known = {**lsf.variables, "PATH": f"{lsf.bin}{os.pathsep}{moved.environment['PATH']}"}
    toy = replace(moved, environment={**moved.environment, **known})
    toy.output_of("cancel", "guesses")
    assert toy.states("guesses") == {"done": 1, "cancelled": 2}
    toy.output_of("resume", "guesses", "cluster.options=null")
    wait_until(lambda: toy.states("guesses") == {"done": 3})
    assert sorted((toy.folder / "guessed.txt").read_text().split()) == ["0", "1", "2"]
    wait_until(lambda: set(lsf.job_states().values()) <= {"DONE"})


@pytest.mark.slow
def test_a_program_with_sweeps_finds_its_jobs(moved: Toy) -> None:
    sweep = ("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_local", "hydra.launcher.snapshot=false")
    command = [forked_python(), "scan.py", *sweep, "beam.rate=0.1,0.2,0.3"]
    ended = subprocess.run(
        command, cwd=moved.folder, env=moved.environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert moved.states("scan") == {"done": 3}
    assert sorted((moved.folder / "scanned.txt").read_text().split()) == ["0.1", "0.2", "0.3"]
    check_kept(moved, "scan")
