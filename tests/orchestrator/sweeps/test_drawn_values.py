"""Values that are new at every call are each job's own, for as long as the job lives, and no part of what it is."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra_program import SEEDFOLD_PLUGINS, HydraProgram
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.description import JobDescription
from seedfold.jobs.description_lines import decode_jobs, encode_jobs
from seedfold.jobs.errors import UsageError
from seedfold.jobs.hydra_program import load_sweep
from seedfold.trainers.programs.drawn_values import DrawnValues
from seedfold.trainers.programs.job_config import compose_job_config

PROGRAM = """
import json
import os
import random
import signal
import uuid
from datetime import datetime
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

OmegaConf.register_new_resolver("uuid", lambda: uuid.uuid4().hex, use_cache=True)
OmegaConf.register_new_resolver("draw", lambda low, high: random.randint(low, high))
OmegaConf.register_new_resolver("day", lambda: datetime.now().strftime("%d"))


@hydra.main(version_base=None, config_path="conf", config_name="drawing")
def main(cfg):
    here = Path(hydra.utils.get_original_cwd())
    told = HydraConfig.get()
    facts = OmegaConf.to_container(cfg, resolve=True)
    facts |= {"folder": Path(told.runtime.output_dir).name, "variable": os.environ["DRAWN"]}
    with (here / f"seen-{cfg.seed}.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\\n")
    if not (here / f"killed-{cfg.seed}").exists():
        (here / f"killed-{cfg.seed}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
"""

CONFIG = """
seed: 0
run_id: ${uuid:}
again: ${run_id}
name: run-${seed}-${run_id}
pair: ["${draw:0,1000000000}", "${draw:0,1000000000}"]
both: ${draw:0,1000000000}-${draw:0,1000000000}
day: ${day:}
moment: ${now:%H%M%S%f}
home: ${oc.env:HOME}/${run_id}
hydra:
  sweep: {dir: out, subdir: "${seed}-${run_id}"}
  job: {env_set: {DRAWN: "${draw:0,1000000000}"}}
"""


@pytest.fixture
def drawing(stranger: HydraProgram) -> HydraProgram:
    (stranger.folder / "train.py").write_text(PROGRAM)
    (stranger.folder / "conf" / "drawing.yaml").write_text(CONFIG)
    return stranger


@pytest.fixture
def resolvers() -> Iterator[None]:
    OmegaConf.register_new_resolver("uuid", lambda: uuid.uuid4().hex, use_cache=True)
    OmegaConf.register_new_resolver("draw", lambda low, high: random.randint(low, high))
    OmegaConf.register_new_resolver("day", lambda: "1")
    yield
    for name in ("uuid", "draw", "day"):
        OmegaConf.clear_resolver(name)


def seen(folder: Path, seed: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"seen-{seed}.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_attempts_at_a_job_see_what_the_first_one_drew(drawing: HydraProgram) -> None:
    drawing.sweep("seed=1,2", code=1)
    drawing.sweep("seed=1,2", "hydra.launcher.resume=true")
    assert "nothing to start" in drawing.sweep("seed=1,2")
    first, second = (seen(drawing.folder, seed) for seed in (1, 2))
    assert (len(first), len(second)) == (2, 2)
    assert first[0] == first[1]
    assert second[0] == second[1]
    assert {len({facts[key] for facts in (first[0], second[0])}) for key in ("run_id", "both", "folder")} == {2}
    facts = first[0]
    assert facts["again"] == facts["run_id"]
    assert facts["folder"] == f"1-{facts['run_id']}"
    assert len({*facts["pair"], *map(int, facts["both"].split("-"))}) == 4
    assert facts["moment"] == second[0]["moment"]
    shown = drawing.toy.output_of("show", "--study", "train", "seed=1")
    assert f"name: run-1-{facts['run_id']}" in shown
    assert "home: ${oc.env:HOME}/${run_id}" in shown


def test_every_plan_has_the_same_jobs(drawing: HydraProgram, resolvers: None) -> None:
    jobs = [list(load_sweep(drawing.make_sweep(root="drawing"), ["seed=1,2"]).jobs()) for _ in range(2)]
    assert [job.id for job in jobs[0]] == [job.id for job in jobs[1]]
    config = jobs[0][0].config
    assert (config["run_id"], config["name"], config["day"]) == ("${uuid:}", "run-${seed}-${run_id}", "1")
    # What only Hydra's own node draws is known as well.
    assert sorted(config["hydra"]["program"]["drawing"]) == ["draw", "uuid"]
    (first, _) = decode_jobs(encode_jobs(jobs[0]))
    assert first.config["hydra"]["program"]["drawing"] == config["hydra"]["program"]["drawing"]


def test_a_value_that_changes_for_some_points_is_left_to_these(drawing: HydraProgram, resolvers: None) -> None:
    OmegaConf.register_new_resolver("draw", lambda seed: seed or random.random(), replace=True)
    (drawing.folder / "conf" / "drawing.yaml").write_text("seed: 1\nvalue: ${draw:${seed}}\n")
    jobs = list(load_sweep(drawing.make_sweep(root="drawing"), ["seed=1,0"]).jobs())
    assert [job.config["value"] for job in jobs] == [1, "${draw:${seed}}"]


def test_what_a_resolver_with_a_cache_gives_is_each_point_s_own(drawing: HydraProgram, resolvers: None) -> None:
    OmegaConf.register_new_resolver("day", lambda number: number + 1, replace=True, use_cache=True)
    (drawing.folder / "conf" / "drawing.yaml").write_text("seed: 1\nnext: ${day:${seed}}\n")
    jobs = list(load_sweep(drawing.make_sweep(root="drawing"), ["seed=1,2"]).jobs())
    assert [job.config["next"] for job in jobs] == [2, 3]


def make_config(stranger: HydraProgram) -> tuple[JobDescription, DictConfig]:
    (job,) = load_sweep(stranger.make_sweep(root="drawing"), ["seed=1"]).jobs()
    return job, compose_job_config(job)


def test_values_are_on_disk_before_anybody_has_them(drawing: HydraProgram, resolvers: None, tmp_path: Path) -> None:
    job, config = make_config(drawing)
    drawn = DrawnValues(tmp_path / "drawn.json", ["uuid", "draw"])
    with drawn.used_in(config, {}):
        values = config.run_id, list(config.pair), config.both
        # Another process of the job has the same values, and so has a copy of the configuration.
        other, copy = DrawnValues(tmp_path / "drawn.json", ["uuid", "draw"]), OmegaConf.merge(config, {"seed": 5})
        assert (copy.run_id, list(copy.pair)) == values[:2]
        # A configuration of the program's own is as without us.
        assert len({OmegaConf.create({"both": "${draw:0,1000000000}"}).both for _ in range(3)}) == 3
    _, config = make_config(drawing)
    with other.used_in(config, {}):
        assert (config.run_id, list(config.pair), config.both) == values
        by_key = {"run_id": values[0], "again": values[0], "name": f"run-1-{values[0]}", "both": values[2]}
        by_key |= {"pair.0": values[1][0], "pair.1": values[1][1]}
        texts = {key: value for key, value in job.config.items() if key != "hydra"}
        assert other.values_by_key(config, texts) == by_key


def test_what_the_sweep_s_folder_drew_holds_for_all_jobs(drawing: HydraProgram, resolvers: None) -> None:
    _, config = make_config(drawing)
    with DrawnValues(drawing.folder / "drawn.json", ["uuid"]).used_in(config, {"uuid": [[[], "abc"]]}):
        assert (config.run_id, config.again) == ("abc", "abc")


def test_resources_may_change_and_derived_values_may_not(drawing: HydraProgram, resolvers: None) -> None:
    derive = "+hydra.sweeper.derive={number: {_target_: seedfold.jobs.derive.given, value: '${draw:0,1000000000}'}}"
    sweep = drawing.make_sweep("+hydra.launcher.resources.extra={comment: '${uuid:}'}", root="drawing")
    assert len(list(load_sweep(sweep, ["seed=1,2"]).jobs())) == 2
    with pytest.raises(UsageError, match=r"\$\{draw:…\} gives another value at every call"):
        list(load_sweep(drawing.make_sweep(derive, root="drawing"), ["seed=1,2"]).jobs())


@pytest.mark.slow
def test_a_rerun_draws_again(drawing: HydraProgram) -> None:
    (drawing.folder / "killed-1").touch()
    drawing.sweep("seed=1")
    drawing.run("-m", *SEEDFOLD_PLUGINS, "seed=1", "hydra.launcher.rerun='seed=1'")
    first, again = seen(drawing.folder, 1)
    assert first["run_id"] != again["run_id"]
