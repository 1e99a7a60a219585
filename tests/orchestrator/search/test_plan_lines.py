"""What `plan` says about a search."""

from __future__ import annotations

from seedfold.orchestrator.search.plan_lines import space_lines
from seedfold.orchestrator.settings.search import SearchSettings


def test_a_plan_shows_space_and_budget() -> None:
    settings = SearchSettings.parse(
        {
            "space": {
                "optimizer.lr": {"log_uniform": [1e-5, 0.1]},
                "optimizer": ["sgd", "adam"],
                "momentum": {"uniform": [0, 0.9], "step": 0.3, "only": "optimizer=sgd"},
                "width": "range(1,9)",
            },
            "trials": 200,
            "metric": "val/accuracy",
            "over": ["seed", "fold"],
            "halving": {"max": 27, "brackets": 2},
            "parallel": 16,
            "budget": {"job_hours": 100, "wall_time": "12h"},
        }
    )
    assert list(space_lines(settings)) == [
        "search: at most 200 trials by tpe, 16 at a time",
        "  optimizer.lr  1e-05 to 0.1, logarithmic",
        "  optimizer     sgd, adam",
        "  momentum      0 to 0.9, in steps of 0.3 (only with optimizer=sgd)",
        "  width         1 to 8, whole numbers",
        "  maximize val/accuracy, the mean over seed and fold",
        "  trained to 1, 3, 9, 27 epochs; the best 1 of 3 goes on, in 2 brackets",
        "  ends at the latest with 100 job hours or 12 h after its start",
    ]
