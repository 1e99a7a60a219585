"""What `plan` says about a search."""

from __future__ import annotations

from simulated_search import SimulatedSearch

from seedfold.orchestrator.search.plan_lines import reached_text, space_lines
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


def test_a_line_says_how_many_trials_reached_which_rung() -> None:
    given = {
        "space": {"x": {"uniform": [0, 1]}},
        "sampler": "random",
        "trials": 3,
        "metric": "a",
        "halving": {"max": 3},
    }
    search = SimulatedSearch(SearchSettings.parse(given), lambda params, epochs: params["x"])
    assert reached_text(search.settings, search.history) == ""
    search.run()
    assert reached_text(search.settings, search.history) == (
        "trials that reached the end of a rung: 3 of 1, 1 of 3 epochs"
    )
