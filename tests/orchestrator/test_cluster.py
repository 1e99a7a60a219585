from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cluster import Cluster


def test_the_shipped_configuration_is_the_default() -> None:
    with initialize_config_module("seedfold.conf", version_base="1.3"):
        shipped = OmegaConf.to_container(compose("config").cluster)
    assert isinstance(shipped, dict)
    assert Cluster.parse({str(key): value for key, value in shipped.items()}) == Cluster.parse({})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"slot": 2}, "did you mean 'slots'"),
        ({"slots": 0}, "cluster.slots: 0"),
        ({"slots": "many"}, "cluster.slots: 'many'"),
        ({"jobs_per_gpu": 1.5}, "cluster.jobs_per_gpu: 1.5"),
        ({"gpu_memory_cap": "10"}, "cluster.gpu_memory_cap: '10' is no amount with a unit"),
        ({"warm": "hot"}, "auto, on, off"),
        ({"executor": "slum"}, "cluster.executor: 'slum'"),
        ({"grace_s": -1}, "cluster.grace_s: -1"),
    ],
)
def test_what_cannot_be_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        Cluster.parse(given)


@pytest.mark.parametrize(("written", "read"), [(True, "on"), (False, "off"), ("off", "off"), ("auto", "auto")])
def test_yaml_may_turn_on_and_off_into_truth_values(written: object, read: str) -> None:
    assert Cluster.parse({"warm": written}).warm == read
