"""Rendered files: as text, as bash reads them, and as they do a study.

The scripts in ``golden/`` are what people see; a change that is meant is written anew with
``PYTHONPATH=tests python tests/orchestrator/dispatch/test_render.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from clusters.slurm.cluster import Cluster
from command_server import forked_command
from in_bash import in_bash
from toyproject import Toy, make_toy, read_files, wait_until

from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import FIT_PREDICT_RUN
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.dispatch.render import TARGETS, split_into_scripts
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.schedulers.rendered_script import JOBS_FILE, RenderRequest, ScriptJobs
from seedfold.orchestrator.schedulers.slurm.script import directive
from seedfold.orchestrator.schedulers.slurm.script import scripts as slurm_scripts
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.fusing import Fusing

GOLDEN = Path(__file__).with_name("golden")
CLUSTER = ("cluster=slurm", "cluster.partition=long", "cluster.throttle=2", "cluster.setup=[module load cuda]")
HOW = {
    "shell": ("--separator", "sleep 2", "--max-commands", "2"),
    "sbatch": ("+stages.sum.resources={gpus: 1, memory: 8GB, time: 90min}", "--separator", "sleep 2", *CLUSTER),
    "bsub": ("+stages.sum.resources={gpus: 1, memory: 8GB, time: 90min}", "--root", "my runs", *CLUSTER),
}


def rendered(toy: Toy, target: str, *args: str, experiment: str = "chain", out: str = "out") -> Path:
    """Render a study of the project; return the folder."""
    toy.output_of("render", "-cd", "conf", f"experiment={experiment}", "--target", target, "--out", out, *args)
    return toy.folder / out


def run(toy: Toy, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, with `seedfold` on the path."""
    path = os.pathsep.join([str(forked_command().parent), os.environ["PATH"]])
    return subprocess.run(
        command,
        cwd=toy.folder,
        env={**toy.environment, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def record(toy: Toy, folder: Path, *jobs: str) -> subprocess.CompletedProcess[str]:
    """Run the command of one job, or of several."""
    return toy.run_in_process("run", *jobs, "--jobs", str(folder / JOBS_FILE), "--record")


def ids_of(folder: Path) -> list[str]:
    """The ids of all jobs that the folder describes."""
    return [json.loads(line)["id"] for line in (folder / JOBS_FILE).read_text().splitlines()]


# --- as text ----------------------------------------------------------------------------------------------------------


def texts(toy: Toy, target: str) -> dict[str, str]:
    """The scripts of the study ``chain`` for a target."""
    folder = rendered(toy, target, *HOW[target], out=f"out-{target}")
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.endswith((".json", ".jsonl"))}


@pytest.mark.parametrize("target", TARGETS)
def test_scripts_are_as_they_were(toy: Toy, target: str) -> None:
    assert texts(toy, target) == {path.name: path.read_text() for path in (GOLDEN / target).iterdir()}


def test_descriptions_are_those_of_plan_and_nothing_else_is_absolute(toy: Toy) -> None:
    folder = rendered(toy, "sbatch")
    assert (folder / JOBS_FILE).read_text() == toy.output_of("plan", "-cd", "conf", "experiment=chain", "--jobs", "-")
    scripts = [path for path in folder.iterdir() if path.suffix in {".sbatch", ".sh"}]
    assert not any(str(toy.folder) in path.read_text() for path in scripts)
    assert not toy.root.exists(), "render wrote to the root"


def test_only_what_a_person_starts_is_executable(toy: Toy) -> None:
    folder = rendered(toy, "sbatch")
    assert [path.name for path in folder.iterdir() if path.stat().st_mode & 0o111] == ["submit_all.sh"]
    shell = rendered(toy, "shell", out="shell")
    assert {path.name for path in shell.iterdir() if path.stat().st_mode & 0o111} == {"01_fit.sh", "02_sum.sh"}


def test_a_selection_is_rendered_beside_all_descriptions(toy: Toy) -> None:
    folder = rendered(toy, "shell", "--where", "seed=1", "--stage", "fit")
    assert sorted(path.name for path in folder.iterdir()) == ["01_fit.sh", JOBS_FILE, "study.json"]
    assert (folder / "01_fit.sh").read_text().count("seedfold run") == 2
    assert len(ids_of(folder)) == 6


def job(number: int, stage: str = "a", parents: Sequence[str] = (), **resources: int) -> JobDescription:
    """A description with an id made of its number."""
    asked = Resources(**resources)  # type: ignore[arg-type]
    return JobDescription(f"{number:064x}", "s", stage, {"n": number}, {}, tuple(parents), asked, "r")


@pytest.fixture
def split(tmp_path: Path) -> Callable[..., list[ScriptJobs]]:
    """Cut jobs into scripts, for a study that trains some of them together if the test says so."""

    def of(jobs: Sequence[JobDescription], most: int | None, arrays: bool, **fuse: int) -> list[ScriptJobs]:
        fusing = Fusing(Ledger(Root(tmp_path / "runs").study_folder("s")), {"fuse": fuse})
        return list(split_into_scripts(jobs, most, fusing, ClusterSettings.parse({}), arrays=arrays))

    return of


def test_arrays_are_cut_by_resources_and_size_and_follow_those_of_their_parents(
    split: Callable[..., list[ScriptJobs]],
) -> None:
    parents = [job(1), job(2, gpus=1), job(3)]
    child = job(4, "b", [parents[1].id])
    parts = split([*parents, child, parents[0]], None, arrays=True)
    assert [(part.name, len(part.jobs), part.parent_scripts) for part in parts] == [
        ("01_a_001", 2, ()),
        ("01_a_002", 1, ()),
        ("02_b", 1, ("01_a_002",)),
    ]
    many = [job(number) for number in range(2001)]
    assert [len(part.jobs) for part in split(many, None, arrays=True)] == [1000, 1000, 1]
    assert [len(part.jobs) for part in split(many, None, arrays=False)] == [2001]
    assert [part.name for part in split(many, 1500, arrays=False)] == ["01_a_001", "01_a_002"]


def test_jobs_that_train_together_are_one_task_of_an_array(split: Callable[..., list[ScriptJobs]]) -> None:
    jobs = [replace(job(number, time_s=600), run=FIT_PREDICT_RUN) for number in range(5)]
    parts = split([*jobs, job(5)], None, arrays=True, a=3)
    assert [(part.name, len(part.jobs)) for part in parts] == [("01_a_001", 3), ("01_a_002", 2), ("01_a_003", 1)]
    request = RenderRequest("s", {"cluster": {"executor": "slurm", "throttle": 7}})
    [three, two, alone, _] = [one.text for one in slurm_scripts(parts, request)]
    assert "# Stage a of study s: 3 jobs in 1 task of 3, 3 trained together in one process.\n" in three
    assert "#SBATCH --array=1-1%7\n#SBATCH --time=35\n" in three
    ids = " ".join(one.id for one in jobs[:3])
    assert f"ids=(\n'{ids}'  # n=0; n=1; n=2\n)\n" in three
    assert "exec seedfold run ${ids[SLURM_ARRAY_TASK_ID - 1]} --jobs" in three
    assert "#SBATCH --time=25\n" in two
    assert 'exec seedfold run "${ids[SLURM_ARRAY_TASK_ID - 1]}" --jobs' in alone
    assert [part.array.per_task for part in split(jobs, 1, arrays=True, a=2)] == [2, 2, 1]
    assert [len(part.jobs) for part in split(jobs, None, arrays=False, a=3)] == [5]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--target", "sbtach"], "did you mean 'sbatch'?"),
        (["--target", "shell", "--max-commands", "0"], "--max-commands"),
        (["--target", "shell", "--limit", "0"], "--limit"),
        (["--target", "shell", "--where", "seed=7"], "seed=7: no job has this value"),
        (["--target", "shell", "--out", "data"], "data: is not empty"),
        (["--target", "shell", "--out", "conf/experiment/toy.yaml"], "is not a folder"),
        (["--target", "shell", "--out", "new\nline"], "has newlines"),
        (["--target", "shell", "--separator", "echo 'x"], "is not a complete shell command"),
        (["--target", "shell", "--separator", "sleep 2 \\"], "is not a complete shell command"),
        (["--target", "shell", "--separator", "cat <<END"], "is not a complete shell command"),
        (["--target", "shell", "--separator", "sleep 2 &&"], "is not a complete shell command"),
        (["--target", "shell", "--separator", ""], "is not a complete shell command"),
        (["--target", "shell", "--root", "a\nb"], "has newlines"),
        (["--target", "bsub", "cluster=slurm", "cluster.qos=long"], "cluster.qos: bsub has no such option"),
        (["--target", "bsub", "cluster=slurm", "cluster.partition='a\"b'"], "option q of bsub"),
        (["--target", "sbatch", "cluster=slurm", '+cluster.options={comment: "a\nb"}'], "option comment of sbatch"),
        (["--target", "shell", "sede=1"], "did you mean 'seed'?"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(toy: Toy, args: list[str], told: str) -> None:
    (toy.data / "table.csv").write_text("x\n")
    before = read_files(toy.folder)
    out = [] if "--out" in args else ["--out", "out"]
    ended = toy.run_in_process("render", "-cd", "conf", "experiment=light", *args, *out)
    assert ended.returncode == 2, ended.stdout
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert read_files(toy.folder) == before
    assert not (toy.folder / "out").exists()


def test_a_folder_is_not_rendered_over(toy: Toy) -> None:
    folder = rendered(toy, "shell")
    before = read_files(folder)
    ended = toy.run_in_process("render", "-cd", "conf", "experiment=chain", "--target", "shell", "--out", "out")
    assert (ended.returncode, read_files(folder)) == (2, before)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--record"], "needs --jobs"),
        (["--record", "--jobs", "out/jobs.jsonl", "--steps", "1"], "cannot be used with --steps"),
        (["--record", "--jobs", "nowhere.jsonl"], "cannot be read"),
        (["--record", "--jobs", "alone.jsonl"], "study.json cannot be read"),
    ],
)
def test_what_cannot_be_recorded_is_refused(toy: Toy, args: list[str], told: str) -> None:
    one = ids_of(rendered(toy, "shell"))[0]
    (toy.folder / "out" / JOBS_FILE).with_name("study.json").unlink()
    (toy.folder / "alone.jsonl").write_text((toy.folder / "out" / JOBS_FILE).read_text())
    ended = toy.run_in_process("run", one, *args)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert told in ended.stderr
    assert not toy.root.exists()


# --- as they do a study -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_command_files_do_a_study_once(toy: Toy) -> None:
    folder = rendered(toy, "shell", "--separator", "echo between").rename(toy.folder / 'it\'s $(moved); "here"')
    first = run(toy, "bash", folder / "01_fit.sh")
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("between") == 3
    assert run(toy, folder / "02_sum.sh").returncode == 0
    assert toy.states("chain") == {"done": 6}
    assert set(toy.executions().values()) == {1}
    summaries = [file.read_text() for file in toy.study("chain").path.rglob("summary.txt")]
    assert summaries == ["2 files of 2 parents"] * 2
    before = read_files(toy.root)
    again = run(toy, "bash", folder / "01_fit.sh")
    assert again.returncode == 0
    assert again.stdout.count("is done already") == 4
    assert read_files(toy.root) == before
    assert json.loads(toy.output_of("plan", "-cd", "conf", "experiment=chain", "--json"))["arrays"] == []


@pytest.mark.slow
def test_commands_at_once_make_one_plan_and_do_each_job_once(toy: Toy) -> None:
    folder = rendered(toy, "shell", "sleep_s=0.5", experiment="light")
    one, other = ids_of(folder)[:2]
    commands = [
        toy.start("run", name, "--jobs", str(folder / JOBS_FILE), "--record") for name in (one, one, one, other)
    ]
    ended = [(command.communicate(timeout=240), command.returncode) for command in commands]
    assert [code for _, code in ended] == [0] * 4, ended
    assert toy.executions() == {one: 1, other: 1}
    assert len(list(toy.study("light").plans_folder.iterdir())) == 1
    assert len(list(toy.study("light").submissions_folder.iterdir())) == 1
    assert toy.states("light") == {"done": 2, "waiting": 4}


@pytest.mark.slow
def test_a_failed_job_ends_with_1_and_its_command_tries_again(toy: Toy) -> None:
    folder = rendered(toy, "shell", "fold=0", experiment="light")
    (toy.data / "broken-0").touch()
    ended = run(toy, "bash", folder / "01_train.sh")
    assert ended.returncode == 1
    assert toy.states("light") == {"failed": 1, "done": 1}, "the other command ran as well"
    assert "broken-0: is in the way; log " in ended.stdout
    (toy.data / "broken-0").unlink()
    assert run(toy, "bash", folder / "01_train.sh").returncode == 0
    assert toy.states("light") == {"done": 2}


def test_a_stopped_job_goes_on_where_its_command_is_run_again(toy: Toy) -> None:
    folder = rendered(toy, "shell", "sleep_s=600.0", "seed=0", "fold=0", experiment="light")
    one = ids_of(folder)[0]
    slept = toy.study("light").job_folder(one) / "slept.txt"
    command = toy.start("run", one, "--jobs", str(folder / JOBS_FILE), "--record")
    wait_until(lambda: slept.exists() and float(slept.read_text() or 0) > 1)
    command.send_signal(signal.SIGUSR2)
    out, _ = command.communicate(timeout=240)
    assert command.returncode == 1
    assert "waiting: slept " in out
    assert toy.states("light") == {"waiting": 1}
    slept.write_text("599.9")
    assert record(toy, folder, one).returncode == 0
    assert 599.9 < float(slept.read_text()) < 600.1
    assert toy.json_of("show", one)["result"]["folder"].endswith(f"{one}.2")


def test_a_cancelled_job_comes_back_with_its_command(toy: Toy) -> None:
    folder = rendered(toy, "shell", "seed=0", experiment="light")
    one, other, third = ids_of(folder)
    assert record(toy, folder, one).returncode == 0
    toy.output_of("cancel", "light")
    assert toy.states("light") == {"done": 1, "cancelled": 2}
    assert record(toy, folder, other).returncode == 0
    assert toy.states("light") == {"done": 2, "cancelled": 1}
    assert set(toy.executions()) == {one, other}
    both = record(toy, folder, other, third)
    assert (both.returncode, both.stdout.count("is done already"), both.stdout.count(": starts")) == (0, 1, 1)
    assert toy.executions() == {one: 1, other: 1, third: 1}


@pytest.mark.slow
def test_a_child_waits_for_a_person_to_run_its_parents(toy: Toy) -> None:
    folder = rendered(toy, "shell", "seed=0")
    child = ids_of(folder)[-1]
    early = record(toy, folder, child)
    assert early.returncode == 1
    assert "waiting: its parent " in early.stdout
    toy.launch("seed=0", experiment="chain")
    assert toy.states("chain") == {"done": 3}
    assert "is done already" in record(toy, folder, child).stdout


@pytest.mark.slow
def test_a_launch_takes_what_no_command_has_done(toy: Toy) -> None:
    folder = rendered(toy, "shell", experiment="light")
    assert record(toy, folder, ids_of(folder)[0]).returncode == 0
    assert "started 5" in toy.launch(experiment="light").stdout
    assert set(toy.executions().values()) == {1}


@pytest.mark.slow
def test_jobs_that_stand_elsewhere_are_not_replaced(toy: Toy) -> None:
    folder = rendered(toy, "shell", experiment="light")
    one = ids_of(folder)[0]
    assert record(toy, folder, one).returncode == 0
    toy.launch("signal=3.0", "--replace", "seed=0", "fold=0", experiment="light")
    superseded = record(toy, folder, one)
    assert (superseded.returncode, len(superseded.stderr.splitlines())) == (2, 1)
    assert "has replaced this job" in superseded.stderr
    other = rendered(toy, "shell", "signal=4.0", experiment="light", out="other")
    refused = record(toy, other, ids_of(other)[0])
    assert refused.returncode == 2
    assert "6 jobs of study light would be replaced (signal" in refused.stderr
    assert len(list(toy.study("light").plans_folder.iterdir())) == 2


@pytest.mark.slow
def test_hostile_axis_values_reach_the_job(toy: Toy) -> None:
    values = ["it's", '"$(touch /tmp/never)"', "a; b\n# c\r\u2028d", "-x \\", "é 漢"]
    study = (toy.folder / "conf" / "experiment" / "light.yaml").read_text()
    study = study.replace("study: light", "study: odd\nword: ''")
    toy.write_experiment("odd", f"{study}  word: {json.dumps(values)}\n")
    folder = rendered(toy, "shell", "seed=0", "fold=0", experiment="odd")
    assert run(toy, "bash", folder / "01_train.sh").returncode == 0
    assert toy.states("odd") == {"done": 5}
    axes = [json.loads(line)["axes"]["word"] for line in (folder / JOBS_FILE).read_text().split("\n") if line]
    assert axes == values
    results = [json.loads(file.read_text())["axes"]["word"] for file in toy.study("odd").path.rglob("result.json")]
    assert sorted(results) == sorted(values)


# --- as bash reads them -----------------------------------------------------------------------------------------------


# --- on clusters ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_arrays_of_lsf_name_the_number_that_they_wait_for(toy: Toy) -> None:
    folder = rendered(toy, "bsub", *CLUSTER)
    submitted = in_bash(toy.folder, str(folder / "submit_all.sh"))
    assert submitted == [[], ["-w", "ended(77)"]]
    for file, count in (("01_fit.bsub", 4), ("02_sum.bsub", 2)):
        # The setup names a command that is not there, which stops nothing.
        for index in range(1, count + 1):
            ended = run(toy, "bash", folder / file, LSB_JOBINDEX=str(index), SEEDFOLD_JOBS=str(folder / JOBS_FILE))
            assert ended.returncode == 0, ended.stdout + ended.stderr
    assert toy.states("chain") == {"done": 6}


@pytest.mark.slow
@pytest.mark.slurm
def test_arrays_do_a_study_on_slurm(on_slurm: Cluster, slurm_name: str, toy: Toy) -> None:
    options = f"+cluster.options={{job-name: {slurm_name}}}"
    folder = rendered(toy, "sbatch", "cluster=slurm", options, "--max-commands", "3")
    submitted = run(toy, folder / "submit_all.sh")
    assert submitted.returncode == 0, submitted.stderr
    for line in submitted.stdout.splitlines():
        on_slurm.wait_for(line.split(": ")[1])
    assert toy.states("chain") == {"done": 6}
    assert set(toy.executions().values()) == {1}
    assert len(list(toy.study("chain").plans_folder.iterdir())) == 1
    outputs = [file.read_text() for file in toy.folder.glob("0*.out")]
    # The log of a job that printed nothing is removed.
    assert sum("starts" in text and ": done" in text for text in outputs) == 6


@pytest.mark.slurm
def test_slurm_reads_values_as_they_are(tmp_path: Path, on_slurm: Cluster, slurm_name: str) -> None:
    comment = """a b"c\\d#e $(x) `y` 'q' \\" %j ; é"""
    script = tmp_path / "odd.sbatch"
    lines = [directive("job-name", slurm_name), directive("comment", comment), directive("output", "/dev/null")]
    script.write_text("\n".join(["#!/bin/bash", *lines, "true", ""]))
    number = subprocess.run(
        ["sbatch", "--parsable", "--hold", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    known = subprocess.run(["squeue", "-h", "-j", number, "-o", "%k"], capture_output=True, text=True, check=True)
    assert known.stdout.rstrip("\n") == comment


def _write_golden() -> None:
    with tempfile.TemporaryDirectory() as folder:
        toy = make_toy(Path(folder) / "toy")
        for target in TARGETS:
            (GOLDEN / target).mkdir(parents=True, exist_ok=True)
            for path in (GOLDEN / target).iterdir():
                path.unlink()
            for name, text in texts(toy, target).items():
                (GOLDEN / target / name).write_text(text)


if __name__ == "__main__":
    _write_golden()
