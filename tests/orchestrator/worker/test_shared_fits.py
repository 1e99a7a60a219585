"""Workers that have jobs of one fit: the second waits for the first, and does meanwhile what else it has."""

from __future__ import annotations

from toyproject import Toy, wait_until

SHARED = ("seed=0,1", "fold=0", "+predict.note=1,2", "cluster.slots=2")


def test_two_workers_never_train_one_fit_at_a_time(toy: Toy) -> None:
    toy.hold_jobs()
    toy.launch("--detach", *SHARED, "--where", "seed=0 note=1", experiment="light")
    wait_until(lambda: toy.states("light").get("running") == 1)
    toy.launch("--detach", *SHARED, "--where", "note=2", experiment="light")
    wait_until(lambda: toy.states("light").get("running") == 2)
    by_seed = {seed: toy.json_of("show", f"seed={seed}", "note=2", "--study", "light")["state"] for seed in (0, 1)}
    assert by_seed == {0: "submitted", 1: "running"}
    toy.release_jobs()
    wait_until(lambda: toy.states("light") == {"done": 3, "waiting": 1})
    assert list(toy.executions().values()) == [1, 1, 1]
