"""What is queued runs the code of the moment it was submitted, whatever is edited meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from code_versions import NEW_WORDS, OLD_WORDS, RUN, read_words, seedfold_folders, write_code
from earlier_layout import move_back
from toyproject import Toy, wait_until

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.code.command_files import read_job_code
from seedfold.orchestrator.code.snapshots import left_out_packages, read_snapshot_record, take_snapshot
from seedfold.orchestrator.code.source_files import read_source_files
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission, TaskArray
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.slurm.backend import Slurm
from seedfold.orchestrator.settings.cluster import ClusterSettings


def kept(toy: Toy) -> list[Path]:
    return sorted(toy.study("light").snapshots_folder.iterdir())


LAUNCH = (f"run={RUN}", "fold=0", "cluster.slots=1")


@pytest.mark.slow
@pytest.mark.usefixtures("copied_seedfold")
def test_what_waits_runs_the_code_that_it_was_submitted_with(toy: Toy) -> None:
    write_code(toy, "old")
    toy.launch("--detach", "seed=0,1,2", *LAUNCH, experiment="light")
    wait_until(lambda: (toy.folder / "begun").exists())
    write_code(toy, "new")
    experiment = toy.folder / "conf" / "experiment" / "light.yaml"
    experiment.write_text(experiment.read_text().replace("signal: 2.0", "signal: 7.0"))
    (toy.folder / "go").touch()
    toy.wait_for_workers()
    assert read_words(toy.study("light")) == {OLD_WORDS: [0, 1, 2]}
    assert seedfold_folders(toy.study("light")) == {kept(toy)[0] / "modules/seedfold/jobs/work.py"}
    toy.launch("--wait", "seed=0,1,2,3", "signal=2.0", *LAUNCH, experiment="light")
    assert read_words(toy.study("light")) == {OLD_WORDS: [0, 1, 2], NEW_WORDS: [3]}
    assert (
        "3 of 4 done jobs were computed by other code (beside.py, toy/late.py, toy/spoken.py and 1 more)"
        in toy.output_of("status", "light")
    )
    stage = toy.plan("seed=0,1,2,3", "signal=2.0", *LAUNCH, experiment="light")["stages"]["train"]
    assert (stage["done"], stage["stale"]) == (4, 3)


@pytest.mark.slow
def test_whatever_a_configuration_names_is_part_of_it(toy: Toy) -> None:
    for name, code in (("first", "Net = 1"), ("second", "Net = 2"), ("deep", "Loss = 3"), ("stranger", "")):
        (toy.folder / f"{name}.py").write_text(code)
    study = "{seed: [0], fold: [0], +model._target_: [first.Net, second.Net]}\nparts: [{of: [{_target_: deep.Loss}]}]"
    experiment = toy.folder / "conf" / "experiment" / "light.yaml"
    experiment.write_text(experiment.read_text().partition("matrix:")[0] + f"model: {{}}\nmatrix: {study}\n")
    assert toy.launch("--wait", experiment="light").returncode == 0
    names = {name for name in read_snapshot_record(toy.study("light"), kept(toy)[0].name)["files"] if "/" not in name}
    assert names == {"first.py", "second.py", "deep.py"}


@pytest.mark.slow
def test_jobs_in_fresh_processes_run_it_too(toy: Toy) -> None:
    write_code(toy, "old")
    toy.launch("--detach", "seed=0,1", "cluster.warm=off", *LAUNCH, experiment="light")
    wait_until(lambda: (toy.folder / "begun").exists())
    write_code(toy, "new")
    (toy.folder / "go").touch()
    toy.wait_for_workers()
    assert read_words(toy.study("light")) == {OLD_WORDS: [0, 1]}


def test_without_a_snapshot_jobs_run_what_is_there(toy: Toy) -> None:
    write_code(toy, "old")
    toy.launch("--detach", "seed=0", "cluster.snapshot=false", *LAUNCH, experiment="light")
    wait_until(lambda: (toy.folder / "begun").exists())
    write_code(toy, "new")
    (toy.folder / "go").touch()
    toy.wait_for_workers()
    assert read_words(toy.study("light")) == {"old new old new signal=2.0": [0]}
    assert not toy.study("light").snapshots_folder.exists()
    refused = toy.launch("cluster.snapshot=maybe", experiment="light")
    assert (refused.returncode, "cluster.snapshot: 'maybe' is neither true nor false" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_resume_runs_the_code_of_today_or_the_original(toy: Toy) -> None:
    write_code(toy, "old")
    toy.launch("--detach", "seed=0,1,2", *LAUNCH, experiment="light")
    wait_until(lambda: (toy.folder / "begun").exists())
    toy.output_of("cancel", "light")
    toy.wait_for_workers()
    write_code(toy, "new")
    (toy.folder / "go").touch()
    toy.output_of("resume", "light", "--where", "seed=0", "--wait", "--code", "original")
    assert read_words(toy.study("light")) == {OLD_WORDS: [0]}
    toy.output_of("resume", "light", "--where", "seed=1", "--wait")
    assert read_words(toy.study("light")) == {OLD_WORDS: [0], NEW_WORDS: [1]}
    for folder in kept(toy):
        shutil.rmtree(folder)
    gone = toy.run_in_process("resume", "light", "--code", "original")
    assert (gone.returncode, "the snapshot of the code is gone" in gone.stderr) == (2, True), gone.stderr
    assert toy.states("light") == {"done": 2, "cancelled": 1}


@pytest.mark.slow
@pytest.mark.usefixtures("copied_seedfold")
def test_code_from_before_modules_moved_is_resumed(toy: Toy) -> None:
    """What starts it is newer, and has other names for the worker and for what jobs call."""
    call = ("run=seedfold.results.stages.mean.run", "fold=0", "seed=0")
    toy.launch("--wait", *call, experiment="light")
    assert toy.states("light") == {"failed": 1}
    move_back(kept(toy)[0] / "modules" / "seedfold")
    # A launch names its jobs as the code of today does.
    toy.launch("--wait", *call, "seed=0,1", experiment="light")
    toy.run_in_process("resume", "light", "--where", "seed=0", "--wait", "--code", "original")
    tracebacks = [log.read_text() for log in sorted(toy.study("light").path.glob("jobs/*/*/log.2.txt"))]
    assert ["modules/seedfold/results/mean_stage.py" in text for text in tracebacks] == [True], tracebacks


@pytest.mark.slow
def test_code_that_is_as_it_was_is_written_once(toy: Toy) -> None:
    (toy.folder / "go").touch()
    write_code(toy, "old")
    for seeds in ("0", "0,1"):
        toy.launch("--wait", f"seed={seeds}", *LAUNCH, experiment="light")
    assert len(kept(toy)) == 1
    study, before = toy.study("light"), {file: file.stat().st_mtime_ns for file in kept(toy)[0].rglob("*.py")}
    begun = time.perf_counter()
    digest = take_snapshot(study, [], Path("/"))
    print(f"Seedfold itself took {time.perf_counter() - begun:.3f} s")
    begun = time.perf_counter()
    assert take_snapshot(study, [], Path("/")) == digest
    print(f"unchanged, it took {time.perf_counter() - begun:.3f} s")
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.slow
def test_two_launches_at_once(toy: Toy) -> None:
    write_code(toy, "old")
    (toy.folder / "go").touch()
    command = ["launch", "--config-dir", "conf", "experiment=light", *LAUNCH]
    both = [toy.start(*command, f"seed={seed}") for seed in (0, 1)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert read_words(toy.study("light")) == {OLD_WORDS: [0, 1]}
    assert len(kept(toy)) == 1, "both write the same, and nothing is left over"


@pytest.mark.slow
def test_gc_lists_code_that_nobody_needs(toy: Toy) -> None:
    (toy.folder / "go").touch()
    write_code(toy, "old")
    toy.launch("--wait", "seed=0", *LAUNCH, experiment="light")
    [old] = kept(toy)
    write_code(toy, "new")
    toy.launch("--wait", "seed=0", "--rerun", "seed=0", *LAUNCH, experiment="light")
    assert garbage(toy) == [], "there is a result of either"
    toy.output_of("gc", "light", "--yes")
    assert garbage(toy) == [old]
    os.utime(old, (0, 0))
    toy.output_of("gc", "light", "--yes")
    [new] = kept(toy)
    (toy.folder / "go").unlink()
    (toy.folder / "begun").unlink()
    write_code(toy, "newest")
    toy.launch("--detach", "seed=0,1", *LAUNCH, experiment="light")
    wait_until(lambda: (toy.folder / "begun").exists())
    [newest] = set(kept(toy)) - {new}
    assert garbage(toy) == [], "it is at work"
    toy.output_of("cancel", "light")
    toy.wait_for_workers()
    assert garbage(toy) == [], "it may go on"
    write_code(toy, "last")
    (toy.folder / "go").touch()
    toy.output_of("resume", "light", "--wait")
    assert garbage(toy) == [newest]


def garbage(toy: Toy) -> list[Path]:
    """The snapshots that `gc` lists, an hour after the last launch; before, it lists none."""
    assert not {item["path"] for item in toy.json_of("gc", "light")["items"]} & set(map(str, kept(toy)))
    for folder in kept(toy):
        os.utime(folder, (0, 0))
    items = toy.json_of("gc", "light")["items"]
    for folder in kept(toy):
        os.utime(folder)
    return [Path(item["path"]) for item in items if item["kind"] == "snapshots"]


@pytest.mark.slow
def test_show_says_which_code_a_result_comes_from(toy: Toy) -> None:
    git = ["git", "-C", str(toy.folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    (toy.folder / "go").touch()
    write_code(toy, "old")
    for words in (["init", "-q"], ["add", "toy", "beside.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    write_code(toy, "new")
    toy.launch("--wait", "seed=0", *LAUNCH, experiment="light")
    [snapshot] = kept(toy)
    code = toy.json_of("show", "seed=0")["code"]
    assert (code["snapshot"], code["folder"]) == (snapshot.name, str(snapshot))
    [own] = [one for one in code["git"] if one["repository"] == str(toy.folder)]
    assert own["changed"]
    assert "+LATE = 'new'" in Path(own["diff"]).read_text()
    shown = " ".join(toy.output_of("show", "seed=0").split())
    assert f"code {snapshot}" in shown
    assert f"{toy.folder}: commit {own['commit'][:12]} and changes: {own['diff']}" in shown
    shutil.rmtree(snapshot)
    assert f"code {snapshot}, which is gone" in " ".join(toy.output_of("show", "seed=0").split())


def take(folder: Path, *names: str) -> tuple[StudyFolder, str]:
    """Keep modules of these names as of a launch in ``folder``; return where, and the snapshot's digest."""
    study = StudyFolder(folder / "runs" / "study")
    config = {"deep": [{"_target_": f"{name}.thing.Class"} for name in names]}
    job = JobDescription(
        "a" * 64, "study", "train", {}, config, (), Resources(), "seedfold.results.store.published.publish"
    )
    return study, take_snapshot(study, [job], folder)


def own_files(study: StudyFolder, digest: str) -> set[str]:
    return {name for name in read_snapshot_record(study, digest)["files"] if not name.startswith("seedfold/")}


def write(folder: Path, *names: str, text: str = "") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_what_is_code_is_copied_and_data_is_pointed_to(tmp_path: Path) -> None:
    write(tmp_path, "lab/__init__.py", "lab/nets/wide.py", "lab/words.json", "lab/.secret", "lab/__pycache__/x.pyc")
    write(tmp_path, "lab/weights.bin", text="x" * 1_000_001)
    write(tmp_path, *(f"lab/scans/{number}.txt" for number in range(300)))
    write(tmp_path, "data/a.csv", "unnamed/__init__.py", "unnamed.py")
    study, digest = take(tmp_path, "lab")
    names = {"lab/__init__.py", "lab/nets/wide.py", "lab/words.json", "lab/weights.bin", "lab/scans"}
    assert own_files(study, digest) == names
    place = study.snapshot_modules_folder(digest)
    links = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_symlink()}
    assert {link for link in links if not link.startswith("seedfold/")} == {"lab/weights.bin", "lab/scans", "data"}
    assert (place / "lab/scans/7.txt").exists()
    assert (place / "data/a.csv").exists()
    assert not (place / "lab/words.json").stat().st_mode & 0o222, "it would be edited in place of the original"


def test_packages_that_are_mentioned_or_imported_from_beside(tmp_path: Path) -> None:
    write(tmp_path, "lab/thing.py", text="def f():\n    from helper.deep import g\n    import os, lone as one\n")
    write(tmp_path, "helper/deep.py", "lone.py", "stranger.py", "empty/data.csv")
    assert own_files(*take(tmp_path, "lab", "empty")) == {"lab/thing.py", "helper/deep.py", "lone.py"}


@pytest.mark.slow
def test_a_huge_folder_beside_the_code_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "lab/thing.py")
    write(tmp_path, *(f"lab/data/{group}/{number}.txt" for group in range(250) for number in range(40)))
    write(tmp_path, *(f"data/{number}.txt" for number in range(10_000)))
    seen: list[str] = []
    scandir = os.scandir

    @contextmanager
    def noted(folder: str | Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(folder) as listing:
            yield (entry for entry in listing if not seen.append(entry.path))

    monkeypatch.setattr(os, "scandir", noted)
    found = read_source_files({"lab", "data"}, tmp_path)
    monkeypatch.undo()
    assert {name for name in found.files if not name.startswith("seedfold/")} == {"lab/thing.py", "lab/data"}
    assert sum(path.startswith(str(tmp_path)) for path in seen) < 1000


def test_a_package_that_is_too_large_is_left_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seedfold.orchestrator.code.source_files._MAX_PACKAGE_FILES", 1000)
    write(tmp_path, "lab/thing.py", *(f"huge/part{number}.py" for number in range(1001)))
    study, digest = take(tmp_path, "lab", "huge")
    assert own_files(study, digest) == {"lab/thing.py"}
    assert left_out_packages(study, [None, digest]) == ["huge"]


def test_what_is_installed_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, source = tmp_path / "env/lib/python3/site-packages", tmp_path / "checkout"
    write(site, "wheel/__init__.py")
    write(source, "editable/__init__.py")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site), str(source)])
    (tmp_path / "here").mkdir()
    assert own_files(*take(tmp_path / "here", "wheel", "editable", "numpy", "json")) == {"editable/__init__.py"}


def test_a_snapshot_that_was_cleared_in_part_is_made_whole(tmp_path: Path) -> None:
    write(tmp_path, "lab/thing.py", "lab/more/deep.py", text="X = 1\n")
    study, digest = take(tmp_path, "lab")
    shutil.rmtree(study.snapshot_modules_folder(digest) / "lab/more")
    assert take(tmp_path, "lab") == (study, digest)
    assert (study.snapshot_modules_folder(digest) / "lab/more/deep.py").read_text() == "X = 1\n"
    (study.snapshots_folder / digest / "snapshot.json").unlink()
    assert take(tmp_path, "lab") == (study, digest)
    assert own_files(study, digest) == {"lab/thing.py", "lab/more/deep.py"}


def test_what_has_lost_its_code_is_refused_and_waits_for_a_person(tmp_path: Path) -> None:
    settings = {"cluster": {"executor": "slurm"}, "failures": {}}
    array = TaskArray("train", Resources(), 1, 1)
    lost = Submission.create(StudyFolder(tmp_path / "study"), ["a" * 64], settings, tmp_path, array=array, snapshot="b")
    with pytest.raises(RefusedError, match="the snapshot of the code is gone; run seedfold resume study"):
        Slurm(ClusterSettings.parse(settings["cluster"])).submit(lost, ())


def test_git_is_remembered(tmp_path: Path) -> None:
    write(tmp_path, "lab/thing.py", "other.txt")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    write(tmp_path, "other.txt", text="changed, and no part of the code")
    [clean] = [one for one in read_snapshot_record(*take(tmp_path, "lab"))["git"] if one["repository"] == str(tmp_path)]
    assert clean == {"repository": str(tmp_path), "commit": commit, "changed": False}
    write(tmp_path, "lab/thing.py", text="X = 2\n")
    study, digest = take(tmp_path, "lab")
    [changed] = [one for one in read_snapshot_record(study, digest)["git"] if one["repository"] == str(tmp_path)]
    assert (changed["commit"], changed["changed"]) == (commit, True)
    assert "+X = 2" in (study.snapshots_folder / digest / changed["diff"]).read_text()


def test_the_script_of_a_program_is_read_before_a_module_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "train.py").write_text("WRONG = 1\n")
    (tmp_path / "scripts" / "train.py").write_text("import helper\n")
    (tmp_path / "scripts" / "helper.py").write_text("")
    program = {"main_file": str(tmp_path / "scripts" / "train.py"), "main_module": "", "path": [str(tmp_path)]}
    config = {"hydra": {"task": "train.main", "program": program}}
    job = JobDescription("0" * 64, "train", "sweep", {}, config, (), Resources(), "seedfold.jobs.work.run")
    found = read_job_code([job], tmp_path, [str(tmp_path / "scripts")])
    assert found.files["train.py"].content == b"import helper\n"
    assert found.files["helper.py"].path == tmp_path / "scripts" / "helper.py"
