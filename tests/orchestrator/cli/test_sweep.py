"""`seedfold sweep NAME KEY=VALUES -- COMMAND`: programs in any language get matrix, logs, retries and results."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from toyproject import Toy, wait_until

TRAIN = '''
"""A script as people have it; it knows nothing of Seedfold but two folders in its environment."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from lab import score

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int)
args = parser.parse_args()
folder, checkpoint = Path(os.environ["SEEDFOLD_FOLDER"]), Path(os.environ["SEEDFOLD_CHECKPOINTS"], "last.txt")
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
first = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 0
print("starts at", first, "in", os.getcwd())
for epoch in range(first, 3):
    print(f"epoch {epoch}: acc={score(args.lr, epoch):.3f}")
    checkpoint.write_text(str(epoch))
    while Path("hold").exists() and epoch == 1:
        time.sleep(0.02)
if args.seed == 7:
    sys.exit("seed 7 is an unlucky one")
(folder / "weights.txt").write_text("weights")
'''

WORDS = ("--", "python", "scripts/train.py", "--lr", "{lr}", "--seed", "{seed}")
PATTERN = r"--pattern=epoch (?P<step>\d+): acc=(?P<acc>[0-9.]+)"


@pytest.fixture
def project(toy: Toy) -> Toy:
    (toy.folder / "scripts").mkdir()
    (toy.folder / "scripts" / "train.py").write_text(TRAIN)
    (toy.folder / "scripts" / "lab.py").write_text("def score(lr, epoch):\n    return lr * (epoch + 1)\n")
    return toy


def results_of(toy: Toy, study: str = "mine") -> list[Path]:
    return sorted(file.parent for file in toy.study(study).path.glob("store/*/*/result.json"))


def test_a_python_script_is_swept_and_its_code_counts(project: Toy) -> None:
    swept = project.run_in_process("sweep", "--name", "mine", PATTERN, "lr=0.1,0.2", "seed=0,1", *WORDS)
    assert swept.returncode == 0, swept.stderr
    assert "mine/conf/experiment/mine.yaml" in swept.stdout
    rows = json.loads(project.output_of("results", "mine", "metrics", "--format", "json"))
    assert {(row["lr"], row["value"]) for row in rows} == {(0.1, 0.3), (0.2, 0.6)}
    for folder in results_of(project):
        assert (folder / "outputs" / "weights.txt").read_text() == "weights"
        assert len((folder / "epochs.csv").read_text().splitlines()) == 4
    log = project.output_of("logs", "lr=0.1", "seed=0", "--study", "mine")
    assert f"starts at 0 in {project.folder}" in log
    assert "nothing to start" in project.output_of("sweep", "--name", "mine", PATTERN, "lr=0.1,0.2", "seed=0,1", *WORDS)
    (project.folder / "scripts" / "lab.py").write_text("def score(lr, epoch):\n    return 0\n")
    told = project.output_of("status", "mine")
    assert "4" in told
    assert "lab.py" in told


def test_a_command_that_fails_says_how_and_with_its_last_line(project: Toy) -> None:
    swept = project.run_in_process("sweep", "--name", "mine", "lr=0.1", "seed=7,8", *WORDS)
    assert swept.returncode == 1
    assert project.states("mine") == {"done": 1, "failed": 1}
    told = project.output_of("status", "mine")
    assert "train.py ended with exit code 1: seed 7 is an unlucky one" in told
    # Whether it was its memory is found out as for any other job.
    killed = ("sweep", "--name", "killed", "failures.kinds.node.retries=0", "x=1", "--", "sh", "-c", "kill -9 $$")
    assert project.run_in_process(*killed).returncode == 1
    assert "the process was killed by SIGKILL" in project.output_of("status", "killed")


def test_a_command_that_is_stopped_or_killed_goes_on_from_its_checkpoint(project: Toy) -> None:
    (project.folder / "hold").touch()
    launcher = project.start("sweep", "--name", "mine", PATTERN, "lr=0.1", "seed=0", *WORDS)
    study = project.study("mine")
    wait_until(lambda: [*study.path.glob("jobs/*/*/run/checkpoints/last.txt")])
    [checkpoint] = study.path.glob("jobs/*/*/run/checkpoints/last.txt")
    wait_until(lambda: checkpoint.read_text() == "1")
    launcher.send_signal(signal.SIGINT)
    launcher.communicate()
    project.wait_for_workers()
    assert launcher.returncode == 130
    (project.folder / "hold").unlink()
    project.output_of("resume", "mine", "--wait")
    assert project.states("mine") == {"done": 1}
    [folder] = results_of(project)
    assert (folder / "epochs.csv").read_text().split() == ["epoch,acc", "0,0.1", "1,0.2", "2,0.3"]
    [log] = study.path.glob("jobs/*/*/log.2.txt")
    assert "starts at 2" in log.read_text()


def test_a_metrics_file_that_all_jobs_write_is_not_read(project: Toy) -> None:
    (project.folder / "fit.sh").write_text('echo "{\\"rmse\\": $1}" > metrics.json\n')
    swept = project.run_in_process(
        "sweep", "--name=mine", "--metrics=metrics.json", "x=1,2", "--", "sh", "fit.sh", "{x}"
    )
    assert swept.returncode == 1
    said = project.output_of("status", "mine")
    assert (
        "metrics.json is not read, because all jobs of the study write it: let the command write it to {folder}" in said
    )


def test_a_shell_script_and_its_metrics_file(project: Toy) -> None:
    (project.folder / "fit.sh").write_text('echo "{\\"test\\": {\\"rmse\\": $1}}" > "$SEEDFOLD_FOLDER/metrics.json"\n')
    project.output_of("sweep", "--name", "mine", "--metrics=metrics.json", "x=1.5,2.5", "--", "sh", "fit.sh", "{x}")
    records = [json.loads((folder / "result.json").read_text()) for folder in results_of(project)]
    assert {(one["axes"]["x"], one["metrics"][0]["value"]) for one in records} == {(1.5, 1.5), (2.5, 2.5)}
    assert {(one["metrics"][0]["split"], one["metrics"][0]["metric"]) for one in records} == {("test", "rmse")}
    # A script that is not Python is code as well.
    (project.folder / "fit.sh").write_text("exit 1\n")
    assert "fit.sh" in project.output_of("status", "mine")


def test_a_sweep_begins_with_a_pilot(project: Toy) -> None:
    words = ("sweep", "--name", "mine", "--pilot", "1", "x=1,2,3", "--", "true", "{x}")
    swept = project.run_in_process(*words)
    assert swept.returncode == 0, swept.stderr
    assert "2 jobs are held" in swept.stdout
    assert project.states("mine") == {"done": 1, "waiting": 2}
    project.output_of("release", "mine")
    wait_until(lambda: project.states("mine") == {"done": 3}, pause_s=0.3)
    project.wait_for_workers()
    refused = project.run_in_process("sweep", "--name", "other", "--pilot-auto", "x=1,2", "--", "true", "{x}")
    assert refused.returncode == 2
    assert "--pilot-auto: add --pilot N" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lr=1", "--", "python", "missing.py"), "command: missing.py does not exist in "),
        (("lr=1", "--", "no-such-program", "x"), "command: no-such-program is not found here"),
        (("lr=1",), "there is no command"),
        (("--code=helpers.R", "lr=1", "--", "python", "scripts/train.py"), "code: helpers.R does not exist in "),
        (("--pattern=acc", "lr=1", "--", "python", "scripts/train.py"), "metrics.pattern"),
    ],
)
def test_a_sweep_that_cannot_work_is_refused_and_writes_nothing(
    project: Toy, words: tuple[str, ...], message: str
) -> None:
    refused = project.run_in_process("sweep", "--name", "mine", *words)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not project.root.exists()
