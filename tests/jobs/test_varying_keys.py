from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.identity import Identity
from seedfold.jobs.records import decode_jobs, encode_jobs
from seedfold.jobs.study import load_study
from seedfold.jobs.varying_keys import with_unnamed_axes

DIGITS = ("experiment=digits", "size=tiny")


def planned(*launches: Sequence[str]) -> list[JobDescription]:
    """The jobs of several launches, as they come back from the plans."""
    studies = [load_study([*DIGITS, *overrides], folder=Path.cwd()) for overrides in launches]
    return [job for study in studies for job in decode_jobs(encode_jobs(study.jobs()))]


@pytest.fixture
def identity() -> Identity:
    return load_study(DIGITS).identity


def test_jobs_that_axes_explain_get_no_more(identity: Identity) -> None:
    jobs = planned(["seed=0,1"], ["seed=2"], ["seed=3", "paths.data=/elsewhere", "resources.memory=8GB"])
    assert with_unnamed_axes(jobs, identity) == jobs


def test_a_setting_of_one_launch_becomes_an_axis(identity: Identity) -> None:
    jobs = planned(["seed=0,1"], ["seed=2", "model.dropout=0.5"])
    marked = with_unnamed_axes(jobs, identity)
    assert {(job.axes["seed"], job.axes["model.dropout"]) for job in marked} == {(0, 0.2), (1, 0.2), (2, 0.5)}
    assert [job.id for job in marked] == [job.id for job in jobs]


@pytest.mark.slow
def test_options_of_a_group_axis_differ_as_they_like(identity: Identity) -> None:
    jobs = planned(["optimizer=adam,sgd"])
    assert with_unnamed_axes(jobs, identity) == jobs
    more = planned(["optimizer=adam,sgd"], ["optimizer=adam,sgd", "seed=7", "trainer.batch_size=8"])
    marked = with_unnamed_axes(more, identity)
    assert {name for job in marked for name in set(job.axes) - set(more[0].axes)} == {"trainer.batch_size"}


def test_an_option_chosen_for_one_launch_is_told_by_its_keys(identity: Identity) -> None:
    marked = with_unnamed_axes(planned(["seed=0"], ["seed=1", "schedule=constant"]), identity)
    assert any(name.startswith("schedule.") for name in marked[0].axes)
