"""Requests for memory and time that are learned from like jobs."""

from __future__ import annotations

import json

import pytest
from toyproject import Toy

from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.state.learned_resources import learned_amount

GB, MIN = 1024**3, 60


@pytest.mark.parametrize(
    ("key", "used", "learned"),
    [
        ("time", [1.0, 2.0, 3.0], 5 * MIN),
        ("time", [600.0] * 20 + [9000.0], 15 * MIN),
        ("time", [7200.0], 3 * 3600),
        ("time", [40_000.0], 15 * 3600),
        ("memory", [18_000_000.0], GB // 2),
        ("memory", [3.0 * GB], 4 * GB),
        ("memory", [10.1 * GB], 14 * GB),
    ],
)
def test_the_95th_percentile_times_1_3_is_rounded_up(key: str, used: list[float], learned: int) -> None:
    assert learned_amount(key, used) == learned


def test_auto_may_name_a_first_value() -> None:
    parsed = Resources.parse({"memory": "auto 8GB", "time": "auto"})
    assert (parsed.memory_bytes, parsed.time_s, parsed.auto) == (8 * GB, 0, ("memory", "time"))
    assert Resources.from_dict(json.loads(json.dumps(parsed.to_dict()))) == parsed
    # Versions that do not know the field read requests that are not learned.
    assert "auto" not in Resources.parse({"time": "2h"}).to_dict()
    with pytest.raises(UsageError, match=r"resources\.time: 'soon' is not an amount with a unit"):
        Resources.parse({"time": "auto soon"})


def asked(toy: Toy, study: str) -> set[tuple[int, int]]:
    jobs = Ledger(toy.study(study)).plans.current_jobs.values()
    return {(job.resources.time_s, job.resources.memory_bytes) for job in jobs}


@pytest.mark.slow
def test_requests_are_learned_from_like_jobs_of_all_studies(toy: Toy) -> None:
    refused = toy.launch("resources.time=auto", experiment="light")
    assert (refused.returncode, refused.stderr) == (
        2,
        "seedfold: resources.time: auto: no job of stage train is done from which it could be learned;"
        " name a first value: resources.time='auto 2h'\n",
    )
    assert not toy.study("light").path.exists()

    wanted = ("resources.time=auto 2h", "resources.memory=auto 3GB")
    toy.launch(*wanted, experiment="light")
    toy.wait_for_workers()
    assert asked(toy, "light") == {(7200, 3 * GB)}

    more = ("study=more", "seed=2,3")
    planned = toy.plan(*wanted, *more, experiment="light")
    assert [(array["time_s"], array["memory_bytes"], array["jobs"]) for array in planned["arrays"]] == [
        (5 * MIN, GB // 2, 6)
    ]
    assert planned["job_hours"] is not None
    assert toy.plan(*more, "resources.time=3h", experiment="light")["unused_requests"] == [
        {"stage": "train", "resource": "time_s", "request": 10800, "enough": 300},
    ]
    on_cluster = toy.output_of(
        "plan", "--config-dir", "conf", "experiment=light", *more, "resources.time=3h", "cluster=slurm"
    )
    assert "train asks for 3.0 h of time, which is ten times what like jobs used or more; 5 min would do" in on_cluster
    # What was planned with first values is learned anew when it is resumed.
    (toy.data / "broken-0").touch()
    assert toy.launch("study=again", "sleep_s=0.1", "seed=0", *wanted, experiment="light").returncode == 1
    assert asked(toy, "again") == {(5 * MIN, GB // 2)}
    resumed = toy.run_in_process("resume", "again", "resources.time=40min")
    assert resumed.returncode == 1
    assert asked(toy, "again") == {(40 * MIN, GB // 2)}
    toy.run_in_process("resume", "again", "resources.time=auto")
    assert asked(toy, "again") == {(5 * MIN, GB // 2)}
