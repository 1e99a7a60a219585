"""After an edit of code, every command says which results it did not compute, and no table mixes the two."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from toyproject import Toy

import seedfold as sf

OTHER = "2 of 2 done jobs were computed by other code (toy/work.py)"


def edit(toy: Toy, old: str, new: str, file: str = "work.py") -> None:
    path = toy.folder / "toy" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def fix_bug(toy: Toy) -> None:
    edit(toy, 'config["signal"] * np', 'config["signal"] * 1.5 * np')


def codes(toy: Toy, *options: str) -> dict[str, str]:
    rows = csv.DictReader(toy.output_of("results", "toy", "runs", "--format", "csv", *options).splitlines())
    return {row["seed"]: row.get("code", "") for row in rows}


@pytest.fixture
def edited(toy: Toy) -> Toy:
    """Two seeds are done, then a bug was fixed."""
    assert toy.launch("seed=0,1", "fold=0").returncode == 0
    edit(toy, '"""Predict, with more noise', '"""Predict, with MORE noise')
    edit(toy, "    prepare(work)\n    config", "    prepare(work)  # as the others do\n\n    config")
    assert "other code" not in toy.launch("seed=0,1", "fold=0").stdout
    assert toy.plan("seed=0,1", "fold=0")["stages"]["train"]["stale"] == 0
    fix_bug(toy)
    return toy


@pytest.mark.slow
def test_every_command_says_so_and_results_are_kept_apart(edited: Toy) -> None:
    nothing = edited.launch("seed=0,1", "fold=0").stdout
    assert f"launch: {OTHER}: --rerun stale runs them again, --accept-code keeps them" in nothing
    assert f"plan: {OTHER}" in edited.output_of("plan", "-cd", "conf", "experiment=toy", "seed=0,1", "fold=0")
    assert f"resume: {OTHER}: seedfold rerun toy --stale runs them again, --accept-code" in edited.output_of(
        "resume", "toy"
    )
    assert edited.json_of("status", "toy")["stale"] == {"code": 2, "data": 0, "parent": 0}
    # One version only: there is nothing to keep apart yet.
    assert set(codes(edited).values()) == {""}

    edited.launch("seed=0,1,2", "fold=0")
    assert codes(edited) == {"0": "old", "1": "old", "2": "now"}
    assert codes(edited, "--across", "code") == {"0": "", "1": "", "2": ""}
    means = edited.output_of("results", "toy", "--split", "test")
    assert [line.split()[:2] for line in means.splitlines()[1:3]] == [["old", "2"], ["now", "1"]]
    assert "results of 2 versions of the code (toy/work.py) are kept apart in the column code" in means
    assert "2 of 3 done jobs were computed by other code" in means
    jobs = ("seed=0 fold=0", "seed=2 fold=0", "--study", "toy")
    differing = re.search(r"^code: *(\S.*|\n +\S.*)$", edited.output_of("compare", *jobs), re.MULTILINE)
    assert differing is not None
    assert "toy/work.py" in differing[0]
    by_fold = edited.output_of("results", "toy", "--by", "fold", "--split", "test", "--format", "csv")
    assert {row["code"] for row in csv.DictReader(by_fold.splitlines())} == {"old", "now"}
    for line in (
        edited.output_of("status", "toy"),
        edited.output_of("watch", "toy"),
        Path(edited.output_of("report", "toy").strip()).read_text(),
    ):
        assert "2 of 3 done jobs were computed by other code (toy/work.py)" in line
    refused = edited.run_in_process("results", "toy", "ensemble")
    assert refused.returncode == 2
    assert "code=old: seed 2 missing" in refused.stderr
    assert "--across code" in refused.stderr
    assert edited.run_in_process("results", "toy", "ensemble", "--across", "code").returncode == 0
    assert edited.run_in_process("results", "toy", "ensemble", "--where", "code=old", "--partial").returncode == 0


@pytest.mark.slow
def test_accepting_and_running_again_both_unite(edited: Toy) -> None:
    edited.launch("seed=0,1,2", "fold=0")
    again = edited.launch("seed=0,1,2", "fold=0", "--rerun", "stale", "--where", "seed=0")
    assert "launch: 1 of 2 done jobs was computed by other code" in again.stdout
    assert codes(edited) == {"0": "now", "1": "old", "2": "now"}
    assert "other code" not in edited.output_of("resume", "toy", "--accept-code")
    assert set(codes(edited).values()) == {""}
    assert edited.json_of("status", "toy")["stale"]["code"] == 0
    assert "± " in edited.output_of("results", "toy")


@pytest.mark.slow
def test_several_old_versions_have_numbers(edited: Toy) -> None:
    edited.launch("seed=0,1,2", "fold=0")
    edit(edited, '["signal"] * 1.5', '["signal"] * 2.5')
    edited.launch("seed=0,1,2,3", "fold=0")
    assert codes(edited) == {"0": "old-1", "1": "old-1", "2": "old-2", "3": "now"}


@pytest.mark.slow
def test_a_job_does_not_put_results_of_two_versions_together(toy: Toy) -> None:
    assert toy.launch(experiment="chain").returncode == 0
    edit(toy, 'str(work.config["seed"]', 'str(2 * work.config["seed"]', "light.py")
    axes = ("stages.fit.matrix.fold=0,1,2",)
    refused = toy.launch(*axes, "--replace", experiment="chain").stdout
    assert "launch: 2 jobs are not started, because their parents come from several versions of the code" in refused
    assert toy.json_of("status", "chain")["stages"]["sum"]["waiting"] == 2
    accepted = toy.output_of("resume", "chain", "--accept-code", "--wait")
    assert "not started" not in accepted
    assert toy.states("chain") == {"done": 8}


def test_edits_of_data_are_told_in_the_same_way_everywhere(toy: Toy) -> None:
    (toy.data / "table.csv").write_text("1")
    toy.launch("seed=0,1", "fold=0")
    (toy.data / "table.csv").write_text("2, edited")
    line = "2 of 2 done jobs read data that has changed since (${paths.data}/table.csv): "
    assert f"launch: {line}--rerun stale runs them again" in toy.launch("seed=0,1", "fold=0").stdout
    for command in ("results", "status", "watch", "resume"):
        assert f"{line}seedfold rerun toy --stale runs them again" in toy.output_of(command, "toy")
    assert "read data that has changed since" in toy.run_in_process("results", "toy", "--format", "csv").stderr
    assert toy.json_of("status", "toy")["stale"] == {"code": 0, "data": 2, "parent": 0}


def test_a_data_file_of_a_package_counts_as_its_code(toy: Toy) -> None:
    (toy.folder / "toy" / "classes.json").write_text("[1]")
    edit(toy, "    prepare(work)\n    config", "    prepare(work)\n    open(CLASSES).close()\n    config")
    edit(toy, "CLASSES = 3\n", "CLASSES = __file__.replace('work.py', 'classes.json')\n")
    for use in ("names), CLASSES", "% CLASSES", "eye(CLASSES"):
        edit(toy, use, use.replace("CLASSES", "3"))
    assert toy.launch("seed=0", "fold=0").returncode == 0
    assert "other code" not in toy.output_of("status", "toy")
    (toy.folder / "toy" / "classes.json").write_text("[2]")
    assert "1 of 1 done job was computed by other code (toy/classes.json)" in toy.output_of("status", "toy")


def test_the_notebook_is_warned_and_keeps_versions_apart(edited: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    edited.launch("seed=0,1,2", "fold=0")
    monkeypatch.chdir(edited.folder)
    study = sf.study("toy", root=edited.root)
    with pytest.warns(UserWarning, match="2 of 3 done jobs were computed by other code"):
        assert study.metrics(over="seed", where="split=test metric=accuracy")["code"].tolist() == ["old", "now"]
    with pytest.warns(UserWarning, match="other code"):
        assert len(study.metrics(over="seed", where="split=test metric=accuracy", across="code")) == 1
