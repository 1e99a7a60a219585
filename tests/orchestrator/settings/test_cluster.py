from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.scheduler import SchedulerSettings


def test_the_shipped_configuration_is_the_default() -> None:
    with initialize_config_module("seedfold.conf", version_base="1.3"):
        shipped = OmegaConf.to_container(compose("config").cluster)
    assert isinstance(shipped, dict)
    assert ClusterSettings.parse({str(key): value for key, value in shipped.items()}) == ClusterSettings.parse({})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"slot": 2}, "did you mean 'slots'"),
        ({"slots": 0}, "cluster.slots: 0"),
        ({"slots": "many"}, "cluster.slots: 'many'"),
        ({"jobs_per_gpu": 1.5}, "cluster.jobs_per_gpu: 1.5"),
        ({"jobs_per_gpu": "all"}, "cluster.jobs_per_gpu: 'all' is not a whole number of at least 1, or auto"),
        ({"mps": "on"}, "cluster.mps: 'on' is not one of auto, off"),
        ({"gpu_memory_cap": "10"}, "cluster.gpu_memory_cap: '10' is not an amount with a unit"),
        ({"warm": "hot"}, "auto, on, off"),
        ({"executor": "slum"}, "cluster.executor: 'slum'"),
        ({"grace_s": -1}, "cluster.grace_s: -1"),
        ({"grace_s": float("nan")}, "cluster.grace_s: nan"),
        ({"silent_s": 89}, "cluster.silent_s: 89 is not a number of at least 90"),
        ({"silent_s": float("nan")}, "cluster.silent_s: nan"),
    ],
)
def test_what_cannot_be_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        ClusterSettings.parse(given)


@pytest.mark.parametrize(("written", "read"), [(True, "on"), (False, "off"), ("off", "off"), ("auto", "auto")])
def test_yaml_may_turn_on_and_off_into_truth_values(written: object, read: str) -> None:
    assert ClusterSettings.parse({"warm": written}).warm == read


@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({}, 1),
        ({"jobs_per_gpu": 3}, 3),
        ({"jobs_per_gpu": "auto"}, 16),
        ({"jobs_per_gpu": "auto", "slots": 2}, 2),
        ({"jobs_per_gpu": "auto", "executor": "slurm"}, 4),
    ],
)
def test_jobs_that_share_a_gpu_are_limited(given: dict[str, Any], most: int) -> None:
    assert ClusterSettings.parse(given).most_jobs_per_gpu == most


def test_memory_of_a_gpu_chooses_among_the_types_of_the_site() -> None:
    site: dict[str, Any] = {"gpu_types": {"a100": "40GB", "rtx2080ti": "11GB", "h100": "80GB"}}
    assert SchedulerSettings.parse({**site, "gpu_memory": "12GB"}).choose_gpu_type() == "a100"
    assert SchedulerSettings.parse({**site, "gpu_memory": "11GB"}).choose_gpu_type() == "rtx2080ti"
    assert SchedulerSettings.parse(site).choose_gpu_type() is None
    with pytest.raises(UsageError, match=r"cluster.gpu_memory: no GPU has 90GB; .* h100 80GB"):
        SchedulerSettings.parse({**site, "gpu_memory": "90GB"}).choose_gpu_type()
