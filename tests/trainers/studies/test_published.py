"""What a shipped study computes at full size is what its authors published, value by value.

``published/STUDY.yaml`` is a list. Each item has the ``source`` of a value and:

- ``key``: a dotted key of the configuration of jobs, or ``jobs`` for the number of jobs;
- ``value``, which every job has, or ``values``: those of the jobs in their order, or the different ones in the order in
  which they first appear;
- ``stage``, if the value is meant for the jobs of one stage; otherwise it is meant for all jobs that have the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from seedfold.jobs.description import JobDescription
from seedfold.jobs.study import load_study

FOLDER = Path(__file__).with_name("published")
LARGE = ("prevalence_shifts",)
"""Studies whose jobs take several seconds to make."""
ABSENT = object()


def studies() -> list[Any]:
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in names]


def find_value(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; ABSENT if there is none."""
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return ABSENT
        found = found[part]
    return found


def plain(value: Any) -> Any:
    """A value of a configuration as lists and dictionaries."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def distinct(values: list[Any]) -> list[Any]:
    """Different values, in the order in which they first appear."""
    return [value for number, value in enumerate(values) if value not in values[:number]]


def differences(item: Mapping[str, Any], jobs: list[JobDescription]) -> str | None:
    """Say how the jobs differ from a published value; None if they do not."""
    of_stage = [job for job in jobs if item.get("stage") in (None, job.stage)]
    found = [plain(value) for job in of_stage if (value := find_value(job.config, item["key"])) is not ABSENT]
    if item["key"] == "jobs":
        found = [len(of_stage)]
    expected = item["values"] if "values" in item else [item["value"]]
    if expected in (found, distinct(found)):
        return None
    return f"{item.get('stage', 'all stages')}: {item['key']} is {distinct(found)}, published: {expected}"


def read(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return items


@pytest.mark.parametrize("name", studies())
def test_a_study_at_full_size_is_the_published_one(name: str) -> None:
    jobs = list(load_study([f"experiment={name}", "size=full"]).jobs())
    found = [difference for item in read(name) if (difference := differences(item, jobs))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", studies())
def test_each_published_value_has_a_source(name: str) -> None:
    for item in read(name):
        assert item["source"], item
        assert {"key", "source"} < set(item) <= {"key", "source", "value", "values", "stage"}, item
        assert ("value" in item) != ("values" in item), item


def test_a_value_that_differs_is_told() -> None:
    jobs = list(load_study(["experiment=dark_side", "size=full"]).jobs())
    assert differences({"key": "trainer.max_epochs", "value": 7, "stage": "train"}, jobs)
    assert differences({"key": "trainer.max_epoch", "value": 7}, jobs)
    assert differences({"key": "jobs", "value": 5}, jobs)
    assert differences({"key": "jobs", "value": 5, "stage": "train"}, jobs) is None


@pytest.mark.parametrize("size", ["tiny", "small"])
@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_small_sizes_need_no_gpu_and_no_published_weights(name: str, size: str) -> None:
    jobs = list(load_study([f"experiment={name}", f"size={size}"]).jobs())
    assert len(jobs) < 250
    for job in jobs:
        assert find_value(job.config, "trainer.accelerator") in (ABSENT, "cpu"), job.stage
        assert find_value(job.config, "trainer.precision") in (ABSENT, "32-true"), job.stage
        assert find_value(job.config, "model.pretrained") in (ABSENT, None), job.stage
        assert job.resources.gpus == 0, job.stage
