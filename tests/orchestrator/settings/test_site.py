from __future__ import annotations

import json

import pytest
from toyproject import Toy

import seedfold as sf
from seedfold.jobs.errors import UsageError


def _write(toy: Toy, text: str) -> None:
    file = toy.folder / "home" / ".config" / "seedfold" / "site.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_the_machines_defaults_stand_before_the_command_line(toy: Toy) -> None:
    _write(toy, "paths: {data: '/scratch/my data'}\ncluster: {slots: 3}\n")
    out = toy.folder / "jobs.jsonl"
    plan = toy.run("plan", "--config-dir", "conf", "experiment=toy", "--jobs", str(out))
    assert plan.returncode == 0, plan.stderr
    assert '"data": "/scratch/my data"' in out.read_text()
    assert '"slots": 3' in out.read_text()
    plan = toy.run("plan", "--config-dir", "conf", "experiment=toy", "--jobs", str(out), "paths.data=/mine")
    assert '"data": "/mine"' in out.read_text()


@pytest.mark.slow
def test_the_root_may_be_the_machines(toy: Toy) -> None:
    _write(toy, f"root: {toy.folder / 'there'}\n")
    launched = toy.run("launch", "--wait", "--config-dir", "conf", "experiment=toy", "seed=0", SEEDFOLD_ROOT="")
    assert launched.returncode == 0, launched.stderr
    assert (toy.folder / "there" / "toy").is_dir()


def test_a_notebook_does_not_do_here_what_a_login_host_is_for(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(toy, "cluster: {name: slurm, login: me@there}\n")
    monkeypatch.chdir(toy.folder)
    monkeypatch.setenv("HOME", toy.environment["HOME"])
    with pytest.raises(UsageError, match="me@there: commands run on that host"):
        sf.study("toy", toy.root, config_dirs=["conf"]).launch()
    assert not toy.root.exists()


def test_what_a_site_file_cannot_hold_is_named(toy: Toy) -> None:
    _write(toy, "pahts: {data: /x}\n")
    ended = toy.run("plan", "--config-dir", "conf", "experiment=toy")
    assert ended.returncode == 2
    assert "did you mean 'paths'" in ended.stderr


def _cluster(toy: Toy, *overrides: str) -> str:
    out = toy.folder / "jobs.jsonl"
    planned = toy.run_in_process("plan", "--config-dir", "conf", "experiment=toy", "--jobs", str(out), *overrides)
    assert planned.returncode == 0, planned.stderr
    cluster: dict[str, object] = json.loads(out.read_text().splitlines()[0])["config"]["cluster"]
    return f"{cluster['executor']} {cluster.get('partition')}"


def test_the_keys_of_one_cluster_are_not_those_of_another(toy: Toy) -> None:
    _write(toy, "cluster: {name: slurm, partition: gpu}\n")
    assert _cluster(toy) == "slurm gpu"
    assert _cluster(toy, "cluster.partition=low") == "slurm low"
    assert _cluster(toy, "cluster=slurm") == "slurm gpu"
    assert _cluster(toy, "cluster=local") == "local None"
