"""The configuration of a job is the one that Hydra's own sweeper and launcher give it, over random programs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hydra_program import SEEDFOLD_PLUGINS, make_loader
from hypothesis import given, settings
from omegaconf import DictConfig, ListConfig, OmegaConf, UnionNode, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from random_programs import ROOT, RandomProgram, programs, stored

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.hydra_program import VOLATILE, Program, ProgramSweep, load_sweep
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.programs.job_config import compose_job_config

Outcome = tuple["list[SeenJob] | None", "Exception | None"]
EQUAL_POINTS = "two points with the same configuration"


@dataclass(frozen=True)
class SeenJob:
    """What the function of a job gets to see; the error where it gets none."""

    config: Any
    overrides: Any
    dirname: Any
    number: int
    choices: dict[str, Any]
    values: str = field(compare=False)
    """The configuration, resolved where that is possible."""

    @classmethod
    def of(cls, config: DictConfig) -> SeenJob:
        """Take a job's configuration, which holds Hydra's node, apart as Hydra does."""
        node = config.hydra
        choices = {key: value for key, value in node.runtime.choices.items() if not key.startswith("hydra/")}
        task = copy.deepcopy(config)
        with read_write(task), open_dict(task):
            del task["hydra"]
        overrides, dirname = seen(lambda: list(node.overrides.task)), seen(lambda: node.job.override_dirname)
        return cls(facts(task), overrides, dirname, node.job.num, choices, repr(resolved(config)))


def seen(read: Callable[[], Any]) -> Any:
    """What is read, or why it cannot be: a text of an override that refers to itself, for example."""
    try:
        return read()
    except (OmegaConfBaseException, RecursionError) as error:
        return type(error).__name__


def resolved(node: DictConfig | ListConfig) -> Any:
    """The values of a configuration, and the texts of those that cannot be resolved."""
    keys = list(node) if isinstance(node, DictConfig) else range(len(node))
    return [(key, _resolved_child(node, key)) for key in keys if key != "hydra"]


def _resolved_child(node: Any, key: Any) -> Any:
    child = node._get_node(key)
    if isinstance(child, (DictConfig, ListConfig)) and isinstance(child._content, (dict, list)):
        return resolved(child)
    try:
        value = node[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except (OmegaConfBaseException, RecursionError):
        return str(child._value())


def facts(node: Any) -> Any:
    """The nodes of a configuration, unresolved, with their classes, types and flags."""
    metadata = {key: value for key, value in vars(node._metadata).items() if key != "resolver_cache"}
    metadata["flags"] = {key: value for key, value in (metadata["flags"] or {}).items() if value is not None}
    content = node._content if OmegaConf.is_config(node) or isinstance(node, UnionNode) else node._value()
    if isinstance(content, dict):
        content = [(repr(key), facts(child)) for key, child in content.items()]
    elif isinstance(content, list):
        content = [facts(child) for child in content]
    elif hasattr(content, "_metadata"):
        content = facts(content)
    return type(node).__name__, repr(metadata), content if isinstance(content, (list, tuple)) else repr(content)


@cache
def loader_of_programs() -> ConfigLoaderImpl:
    """Hydra's own loader, for all examples."""
    version.setbase("1.3")
    return make_loader(None)


def jobs_of_hydra(overrides: Sequence[str]) -> list[SeenJob]:
    """What its own sweeper and launcher make of a command line; raises whatever they raise."""
    loader = loader_of_programs()
    master = loader.load_configuration(ROOT, list(overrides), RunMode.MULTIRUN)
    arguments: Any = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)
    params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*params, *arguments])
    jobs = []
    for number, point in enumerate(BasicSweeper.split_arguments(parsed, None)[0]):
        config = loader.load_sweep_config(master, list(point))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        jobs.append(SeenJob.of(config))
    return jobs


def jobs_of_seedfold(overrides: Sequence[str]) -> list[SeenJob]:
    """What the processes of the jobs make of their descriptions; raises UsageError at the launch."""
    loader = loader_of_programs()
    try:
        master = loader.load_configuration(ROOT, [*SEEDFOLD_PLUGINS, *overrides], RunMode.MULTIRUN)
    except Exception as error:
        raise UsageError("Hydra's own") from error
    arguments: Any = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)
    identity = {"identity": {"volatile": list(VOLATILE)}, "cluster": {}, "failures": {}, "paths": {}}
    program = Program(__name__, "main", __file__, (), str(Path.cwd()), 0.0)
    described = list(load_sweep(ProgramSweep(loader, master, program, "random", identity), arguments).jobs())
    copies = [JobDescription.from_dict(json.loads(json.dumps(job.to_dict()))) for job in described]
    return [SeenJob.of(compose_job_config(job)) for job in copies]


def outcome(find_jobs: Callable[[Sequence[str]], list[SeenJob]], overrides: Sequence[str]) -> Outcome:
    """The jobs, or why there are none."""
    try:
        return find_jobs(overrides), None
    except ConfigFailure:
        # It is too late to refuse in the process of a job.
        raise
    except Exception as error:
        return None, error


@pytest.mark.slow
@settings(max_examples=5 if settings().derandomize else 2000)
@given(programs())
def test_a_job_s_configuration_is_that_of_hydra_or_both_refuse(program: RandomProgram) -> None:
    with stored(program):
        # What is wrong is often one override of several.
        for overrides in dict.fromkeys([program.overrides, program.overrides[:-1], program.overrides[1:]]):
            theirs, refusal = outcome(jobs_of_hydra, overrides)
            ours, our_refusal = outcome(jobs_of_seedfold, overrides)
            if our_refusal is not None:
                assert isinstance(our_refusal, UsageError), (overrides, our_refusal)
                assert "\n" not in str(our_refusal)
            if theirs is not None and our_refusal is not None:
                assert is_known_refusal(str(our_refusal), theirs), (overrides, our_refusal)
            else:
                assert ours == theirs, (overrides, refusal)


def is_known_refusal(message: str, jobs: Sequence[SeenJob]) -> bool:
    """Whether Seedfold refuses this on purpose: no values, equal points, what is deleted or set after its sweep."""
    if not jobs:
        return "has no values" in message
    has_equal_jobs = len({job.values for job in jobs}) < len(jobs)
    return has_equal_jobs and any(text in message for text in (EQUAL_POINTS, "occurs twice", "sweeps before it"))
