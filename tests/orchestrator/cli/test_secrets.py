"""Secrets in the environment never get into the files of a study, its scripts and its report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from toyproject import Toy, make_toy

SECRETS = {
    "WANDB_API_KEY": "key-0f3c9a",
    "HF_TOKEN": "token-8812b7",
    "DB_PASSWORD": "password-77aa",
    "aws_secret_access": "hidden-5544",
    "GITHUB_CREDENTIALS": "credential-31",
}
FILES = {"SSH_KEY_FILE": "/data/keys"}
MODULE = """
import os

def run(work):
    if work.config["seed"]:
        raise ValueError("refused: " + ", ".join(os.environ[name] for name in work.config["names"]))
    assert os.environ["HF_TOKEN"].endswith("12b7")
    (work.staging / "answer.txt").write_text("1")
"""
STUDY = f"""# @package _global_
study: secret
run: toy.secret.run
names: {list(SECRETS)}
note: ""
seed: 0
paths: {{data: /data/keys/of/doors}}
resources: {{cpus: 1, memory: 1GB, time: 5min}}
matrix: {{seed: [0, 1]}}
"""
CHOICE = ("-cd", "conf", "experiment=secret")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    project = make_toy(tmp_path_factory.mktemp("secret"))
    (project.folder / "toy" / "secret.py").write_text(MODULE)
    project.write_experiment("secret", STUDY)
    project.environment.update(SECRETS | FILES)
    yield project
    project.kill_workers()


def found_in(folder: Path) -> set[str]:
    """The names of the secrets that any file below a folder holds."""
    contents = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return {name for name, value in SECRETS.items() if any(value.encode() in content for content in contents)}


def test_no_secret_is_on_disk_after_jobs_have_run_and_failed(toy: Toy) -> None:
    assert toy.run_in_process("launch", *CHOICE).returncode == 1
    toy.wait_for_workers()
    toy.output_of("report", "secret")
    toy.output_of("render", *CHOICE, "study=rendered", "--target", "sbatch", "--out", str(toy.folder / "scripts"))
    assert found_in(toy.root) == found_in(toy.folder / "scripts") == set()
    assert "refused: [WANDB_API_KEY], [HF_TOKEN], [DB_PASSWORD]" in toy.run_in_process("status", "secret").stdout
    assert "refused: [WANDB_API_KEY], [HF_TOKEN]" in toy.output_of("logs", "seed=1")


OVERRIDES = [
    *("note=${oc.env:HF_TOKEN}", "note='a ${oc.env:DB_PASSWORD} b'", "+more.deep=[x,${oc.env:WANDB_API_KEY,none}]"),
    *("note=token-8812b7", "note=http://me:password-77aa@host", "+matrix.note=[a,hidden-5544]"),
    "paths.data=/scratch/key-0f3c9a",
]


@pytest.mark.parametrize(
    ("command", "override"),
    [*(("plan", override) for override in OVERRIDES), ("launch", OVERRIDES[3]), ("render", OVERRIDES[3])],
)
def test_a_configuration_with_a_secret_is_refused(toy: Toy, command: str, override: str) -> None:
    where = ("--target", "shell", "--out", str(toy.folder / "refused")) if command == "render" else ()
    ended = toy.run_in_process(command, *CHOICE, "study=refused", override, *where)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended.stderr
    assert "read the variable in the job" in ended.stderr
    assert any(name in ended.stderr for name in SECRETS)
    assert not any(value in ended.stderr for value in SECRETS.values())
    assert not (toy.root / "refused").exists()


def test_resume_refuses_a_secret_as_well(finished: Toy) -> None:
    ended = finished.run_in_process("resume", "toy", "paths.data=token-8812b7", **SECRETS)
    assert ended.returncode == 2
    assert "paths.data: holds the value of the environment variable HF_TOKEN" in ended.stderr
