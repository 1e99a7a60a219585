"""Searches on a cluster: one array whose tasks take any job of the search, also after some of them have been killed."""

from __future__ import annotations

import pytest
from clusters.conftest import Project, unfinished_jobs
from command_server import forked_python
from searchtoy import add_stages, search_of, trained_epochs
from toyproject import wait_until

from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB

pytestmark = pytest.mark.slow


def test_the_tasks_of_one_array_work_through_a_search_and_a_killed_one_is_replaced(either: Project) -> None:
    add_stages(either.toy, sleep_s="sleep_s: 0.15", parallel="  parallel: 2")
    either.launch(f"cluster.python={forked_python()}", experiment="hunt")  # it has imported Optuna
    assert [one.task_count for one in either.submissions("hunt")] == [2]
    assert either.submissions("hunt")[0].jobs == (SEARCH_JOB, SEARCH_JOB)
    wait_until(lambda: len(trained_epochs(either.toy)) >= 3)
    either.requeue(either.task_name(either.first_array_id("hunt"), 0))

    def is_over() -> bool:
        search = search_of(either.toy)
        return bool(search["trials"] == 6 == search["done"] + search["pruned"] + search["failed"])

    wait_until(is_over, describe=lambda: either.describe("hunt"), pause_s=0.5)
    wait_until(lambda: not unfinished_jobs(either.job_states()), pause_s=0.5)
    done = search_of(either.toy)["done"]
    assert done >= 1
    # All stages are run by the same tasks, the first one once, and the last one for trials trained to their end.
    assert len((either.toy.data / "prepared.txt").read_text().split()) == 1
    assert len(set((either.toy.data / "judged.txt").read_text().split())) == done
    assert either.toy.output_of("advance", "hunt").startswith("hunt: nothing to do")
