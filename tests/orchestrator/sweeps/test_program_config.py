"""The configuration that a job hands to the function is the one that the program's own Hydra would have handed over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from hydra_program import HydraProgram, make_hydra_program
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict, read_write

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.hydra_program import load_sweep
from seedfold.jobs.identity import compute_ids
from seedfold.jobs.job_overrides import overrides_of
from seedfold.trainers.programs.job_config import compose_job_config


class Rule(Enum):
    CONSTANT = "c"
    COSINE = "d"


@dataclass
class Schedule:
    rule: Rule = Rule.CONSTANT
    steps: int = 10


@dataclass
class CosineSchedule(Schedule):
    rule: Rule = Rule.COSINE
    floor: float = 0.1


@dataclass(frozen=True)
class Net:
    width: int = 4


@dataclass
class TrainConfig:
    defaults: list[Any] = field(default_factory=lambda: [{"schedule": "constant"}, {"loose": "constant"}, "_self_"])
    schedule: Schedule = MISSING
    loose: Any = MISSING
    net: Net = field(default_factory=Net)
    rules: dict[Rule, int] = field(default_factory=lambda: {Rule.COSINE: 1})
    stages: list[Schedule] = field(default_factory=lambda: [CosineSchedule()])
    weights: dict[str, int] = field(default_factory=lambda: {"a": 1, "b": 2})
    folder: Path = Path("data")
    later: int = MISSING
    width_again: int = "${net.width}"  # type: ignore[assignment]


UNTYPED = """
epochs: 50
limits: {epochs: "${epochs}", steps: "${.epochs}", folder: "${hydra:runtime.output_dir}"}
names: {0: cat, 1: dog, true: both}
nested: {c: x}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HydraProgram]:
    stranger = make_hydra_program(tmp_path_factory.mktemp("here"))
    (stranger.folder / "conf" / "untyped.yaml").write_text(UNTYPED)
    store = ConfigStore.instance()
    store.store(name="declared", node=TrainConfig)
    for group in ("schedule", "loose"):
        store.store(group=group, name="constant", node=Schedule)
        store.store(group=group, name="cosine", node=CosineSchedule)
    yield stranger
    # Hydra takes what is stored as the schema of files with the same name, Seedfold's own among them.
    for name in ("declared.yaml", "schedule", "loose"):
        del store.repo[name]


def configs_of_jobs(stranger: HydraProgram, arguments: Sequence[str], root: str) -> list[DictConfig]:
    """The configurations of a sweep's jobs, as their own processes make them from their descriptions."""
    study = load_sweep(stranger.make_sweep(*arguments, root=root), arguments)
    descriptions = [JobDescription.from_dict(json.loads(json.dumps(job.to_dict()))) for job in study.jobs()]
    return [without_hydra(compose_job_config(job)) for job in descriptions]


def configs_of_hydra(stranger: HydraProgram, points: Sequence[Sequence[str]], root: str) -> list[DictConfig]:
    """What Hydra composes for points."""
    loader = stranger.make_sweep(root=root).loader
    return [without_hydra(loader.load_configuration(root, list(point), RunMode.RUN)) for point in points]


def without_hydra(config: DictConfig) -> DictConfig:
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config


def facts(config: Any) -> Any:
    """The nodes of a configuration, unresolved, with their classes, types and flags."""
    metadata = {key: value for key, value in vars(config._metadata).items() if key != "resolver_cache"}
    metadata["flags"] = {key: value for key, value in metadata["flags"].items() if value is not None}
    content = config._content if OmegaConf.is_config(config) else config._value()
    if isinstance(content, dict):
        content = [(key, facts(child)) for key, child in content.items()]
    elif isinstance(content, list):
        content = [facts(child) for child in content]
    return type(config), metadata, content


@pytest.mark.parametrize(
    ("root", "arguments", "points"),
    [
        ("declared", ["schedule=constant,cosine"], [["schedule=constant"], ["schedule=cosine"]]),
        ("declared", ["loose=cosine", "loose.floor=1,2"], [["loose=cosine", f"loose.floor={n}"] for n in (1, 2)]),
        (
            "declared",
            ["~weights.a", "later=1,2", "schedule=cosine"],
            [["~weights.a", f"later={n}", "schedule=cosine"] for n in (1, 2)],
        ),
        ("declared", ["loose.rule=COSINE", "stages=[{steps: 3}]"], [["loose.rule=COSINE", "stages=[{steps: 3}]"]]),
        ("untyped", ["epochs=1,2", "+more='${epochs}'"], [[f"epochs={n}", "+more='${epochs}'"] for n in (1, 2)]),
        ("untyped", ["~limits", "+names.new=a,b"], [["~limits", f"+names.new={name}"] for name in "ab"]),
    ],
)
def test_configurations_are_those_of_hydra(
    here: HydraProgram, root: str, arguments: list[str], points: list[list[str]]
) -> None:
    ours, theirs = configs_of_jobs(here, arguments, root), configs_of_hydra(here, points, root)
    assert [facts(config) for config in ours] == [facts(config) for config in theirs]
    assert [OmegaConf.to_yaml(config) for config in ours] == [OmegaConf.to_yaml(config) for config in theirs]


def test_what_the_function_changes_moves_what_refers_to_it(here: HydraProgram) -> None:
    config, _ = configs_of_jobs(here, ["epochs=50,60"], "untyped")
    config.epochs = 1
    assert (config.limits.steps, config.names[0], config.names[True]) == (1, "cat", "both")


def test_resolved_values_make_the_id(here: HydraProgram) -> None:
    arguments = ["epochs=1,2"]
    study = load_sweep(here.make_sweep(*arguments, root="untyped"), arguments)
    jobs = list(study.jobs())
    assert [job.config["limits"]["steps"] for job in jobs] == [1, 2]
    assert [compute_ids(job.run, job.config, (), study.identity)[0] for job in jobs] == [job.id for job in jobs]


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        (["nested={c:q}", "nested.c=1,2"], [["nested={c:q}", "nested.c=1"], ["nested={c:q}", "nested.c=2"]]),
        (["+extra={a:1,b:2}", "extra.a=5,6"], [["+extra={a:1,b:2}", f"extra.a={n}"] for n in (5, 6)]),
        (["epochs=1,2", "~limits", "+note=a b"], [[f"epochs={n}", "~limits", "+note=a b"] for n in (1, 2)]),
    ],
)
def test_the_order_of_the_command_line_decides(
    here: HydraProgram, arguments: list[str], points: list[list[str]]
) -> None:
    ours, theirs = configs_of_jobs(here, arguments, "untyped"), configs_of_hydra(here, points, "untyped")
    assert [facts(config) for config in ours] == [facts(config) for config in theirs]


def test_points_that_come_out_equal_are_refused_with_the_way_to_repeat(here: HydraProgram) -> None:
    for arguments in (["nested.c=1,2", "nested={c:q}"], ["epochs=1,1"]):
        with pytest.raises(UsageError, match=r"\+repeat=range\(0,5\)"):
            configs_of_jobs(here, arguments, "untyped")
    assert len(configs_of_jobs(here, ["epochs=1", "+repeat=range(0,5)"], "untyped")) == 5


def test_overrides_have_no_quotes_that_nobody_typed(here: HydraProgram) -> None:
    arguments = ["~limits", "+note=a b", "+list=[a, b:c]", "nested.c=x-y,5%", "+text='1'", "epochs=range(0,2)"]
    sweep = here.make_sweep(*arguments, root="untyped")
    jobs = load_sweep(sweep, arguments).jobs()
    points = BasicSweeper.split_arguments(sweep.composer.parse_overrides(arguments), None)[0]
    assert [overrides_of(job) for job in jobs] == points


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["nested.c='a b'", 'epochs=1,"2"', "+text=\"it's\",'x,y'"],
        ["nested.c=q", "~nested.c", "epochs=1,2"],
        ["+new=1", "epochs=1,2", "~new"],
        ["++nested={c:1,d:2}", "~nested.d", "epochs=1,2"],
        ["+by_number={1:a},{2:b,true:c}", "+one={1:2}"],
        ["epochs=1,2", "~limits"],
        ["++epochs=1", "nested.c=q", "epochs=2,3"],
        ["epochs=1", "++epochs=2,3", "epochs=4"],
        # The program gets an error when it reads such a value, and not earlier.
        ["epochs=${nested}", "nested.c=${epochs},${nested}"],
        ["epochs='a${epochs}'", "nested=${epochs}"],
    ],
)
def test_order_and_quotes_are_those_of_the_command_line(here: HydraProgram, arguments: list[str]) -> None:
    sweep = here.make_sweep(*arguments, root="untyped")
    jobs = list(load_sweep(sweep, arguments).jobs())
    points = BasicSweeper.split_arguments(sweep.composer.parse_overrides(arguments), None)[0]
    assert [overrides_of(job) for job in jobs] == points
    ours, theirs = configs_of_jobs(here, arguments, "untyped"), configs_of_hydra(here, points, "untyped")
    assert [facts(config) for config in ours] == [facts(config) for config in theirs]


def test_a_sweep_of_what_is_deleted_or_set_later_is_refused(here: HydraProgram) -> None:
    with pytest.raises(UsageError, match=r"^~nested\.c: deletes what nested\.c=1,2 sweeps before it"):
        configs_of_jobs(here, ["nested.c=1,2", "~nested.c"], "untyped")
    with pytest.raises(UsageError, match=r"^epochs=3: replaces what \+\+epochs=1,2 sweeps before it"):
        configs_of_jobs(here, ["++epochs=1,2", "epochs=3"], "untyped")
