"""What a program's sweep is as a study: its points, their ids, what they ask for, what is left to the job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra_program import DepthConfig, HydraProgram, ModelKind, TypedConfig, axes_of_jobs, make_hydra_program
from omegaconf import OmegaConf, open_dict

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.hydra_program import load_expanded_points, load_sweep
from seedfold.jobs.identity import compute_ids
from seedfold.trainers.programs.job_config import compose_job_config


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> HydraProgram:
    return make_hydra_program(tmp_path_factory.mktemp("here"))


def jobs_of(stranger: HydraProgram, *arguments: str, hydra: tuple[str, ...] = ()) -> list[object]:
    return list(load_sweep(stranger.make_sweep(*arguments, *hydra), arguments).jobs())


def test_grammar_params_zip_exclude_and_derive_make_the_points(here: HydraProgram) -> None:
    told = (
        "hydra.sweeper.params={seed: 'range(0,3)'}",
        "hydra.sweeper.zip={lr: [0.1, 0.2], model: [small, large]}",
        "hydra.sweeper.exclude={seed: 1, model: large}",
        "hydra.sweeper.derive={+classes: {_target_: seedfold.jobs.derive.given, value: '${model.name}'}}",
    )
    jobs = jobs_of(here, "seed=0,1", "+note=a", hydra=told)
    assert axes_of_jobs(jobs) == [
        {"seed": 0, "lr": 0.1, "model": "small", "note": "a"},
        {"seed": 0, "lr": 0.2, "model": "large", "note": "a"},
        {"seed": 1, "lr": 0.1, "model": "small", "note": "a"},
    ]
    assert [(job.config["classes"], job.config["steps"]) for job in jobs] == [("small", 1), ("large", 2), ("small", 1)]
    assert [job.config["hydra"]["num"] for job in jobs] == [0, 1, 2]


def test_resources_follow_swept_values(here: HydraProgram) -> None:
    told = (
        "hydra.launcher.resources.cpus=${seed}",
        "hydra.launcher.resources.memory=${model.width}GB",
        "hydra.launcher.resources.gpus=${steps}",
    )
    jobs = jobs_of(here, "model=small,large", "seed=1,2", hydra=told)
    asked = [(job.resources.cpus, job.resources.memory_bytes >> 30, job.resources.gpus) for job in jobs]
    assert asked == [(1, 8, 1), (2, 8, 1), (1, 80, 2), (2, 80, 2)]
    assert [job.id for job in jobs] == [job.id for job in jobs_of(here, "model=small,large", "seed=1,2")]


def test_what_only_the_job_can_know_is_left_to_it(here: HydraProgram) -> None:
    (job,) = jobs_of(here, "lr=0.5")
    assert job.config["checkpoint"] == "${hydra:runtime.output_dir}/${model.name}.ckpt"
    assert job.config["never_given"] == "???"
    assert job.config["steps"] == 1


def test_declared_types_are_those_that_the_function_gets(here: HydraProgram) -> None:
    ConfigStore.instance().store(name="typed", node=TypedConfig)
    arguments = ("kind=FLAT,DEEP", "depth.layers=5")
    jobs = list(load_sweep(here.make_sweep(*arguments, root="typed"), arguments).jobs())
    config = compose_job_config(JobDescription.from_dict(json.loads(json.dumps(jobs[1].to_dict()))))
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    assert OmegaConf.to_object(config) == TypedConfig(ModelKind.DEEP, Path("data"), DepthConfig(5), 3, 1)


def test_ids_are_those_of_configuration_and_dotted_name(here: HydraProgram, tmp_path: Path) -> None:
    elsewhere = make_hydra_program(tmp_path / "elsewhere")
    arguments = ("lr=0.1,0.2", "model=large")
    ids = [job.id for job in jobs_of(here, *arguments)]
    assert [job.id for job in jobs_of(elsewhere, *arguments, hydra=("hydra.sweep.dir=other",))] == ids
    other_name = load_sweep(here.make_sweep(*arguments, module="pkg.train"), arguments)
    assert not {job.id for job in other_name.jobs()} & set(ids)
    study = load_sweep(here.make_sweep(*arguments), arguments)
    assert [compute_ids(job.run, job.config, (), study.identity)[0] for job in study.jobs()] == ids


def test_points_of_another_sweeper_are_the_same_jobs(here: HydraProgram) -> None:
    arguments = ("lr=0.1,0.2", "model=large", "+note='a b'")
    jobs = jobs_of(here, *arguments)
    points = load_sweep(here.make_sweep(*arguments), arguments).points_as_overrides()
    ((study, places),) = load_expanded_points(here.make_sweep(*arguments), [*points, points[0]])
    assert [job.id for job in study.jobs()] == [job.id for job in jobs]
    assert places == {0: 0, 1: 1, 2: 0}
    assert {job.address for job in study.jobs()} == {job.address for job in jobs}
    with pytest.raises(UsageError, match=r"hydra/sweeper: \+target=b: the points of this sweeper differ in a key"):
        list(load_expanded_points(here.make_sweep(), [["lr=1", "+target=a"], ["lr=1", "+target=b"]]))


def test_points_of_another_sweeper_may_set_different_keys(here: HydraProgram) -> None:
    points = [["lr=1"], ["lr=1", "seed=5"], ["lr=2"], ["lr=1", "seed=0"], ["lr=1", "seed=5"]]
    studies = list(load_expanded_points(here.make_sweep(), points, first_number=7))
    assert [places for _, places in studies] == [{0: 0, 2: 1}, {1: 0, 3: 1, 4: 0}]
    jobs = [list(study.jobs()) for study, _ in studies]
    assert [axes_of_jobs(some) for some in jobs] == [
        [{"lr": 1}, {"lr": 2}],
        [{"lr": 1, "seed": 5}, {"lr": 1, "seed": 0}],
    ]
    assert [[job.config["hydra"]["num"] for job in some] for some in jobs] == [[7, 9], [8, 10]]
    # The default of the seed is 0.
    assert jobs[0][0].id == jobs[1][1].id


@pytest.mark.parametrize("name", ["local", "slurm", "lsf"])
def test_launchers_have_the_settings_of_the_clusters(here: HydraProgram, name: str) -> None:
    node = here.make_sweep(f"hydra/launcher=seedfold_{name}").config.hydra.launcher
    file = Path(__file__).parents[3] / "conf" / "cluster" / f"{name}.yaml"
    settings = yaml.safe_load(file.read_text()) if file.exists() else {"executor": name}
    assert {key: node[key] for key in settings} == settings
    assert node.wait is True


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("sed=1,2", "sed: no such key in the configuration (did you mean 'seed'?)"),
        ("model=small,larg", "model=larg: no such model (did you mean 'large'?)"),
        ("hydra.sweeper.parms={seed: 1}", "hydra.sweeper.parms: unknown key (did you mean 'params'?)"),
        ("hydra.sweeper.zip={lr: [1, 2], seed: [1]}", "axes that advance together differ in length"),
        ("hydra.launcher.resources.memory=many", "memory: 'many' is not an amount with a unit"),
        ("lr=interval(0,1)", "its values cannot be listed"),
    ],
)
def test_bad_input_is_one_line(here: HydraProgram, argument: str, said: str) -> None:
    told = f"+{argument}" if "parms" in argument else argument
    with pytest.raises(UsageError) as refused:
        jobs_of(here, *([told] if not told.lstrip("+").startswith("hydra.") else []), hydra=(told,))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
