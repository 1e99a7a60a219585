"""The figures of a search show what it found, and say nothing before there is something to see."""

from __future__ import annotations

import pytest

pytest.importorskip("optuna", reason="Optuna is not installed")

from simulated_search import SimulatedSearch

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.views.search_figures import search_figures


@pytest.mark.slow
def test_a_search_with_halving_has_a_figure_of_each_kind() -> None:
    space = {
        "optimizer.lr": {"log_uniform": [1e-4, 1]},
        "width": [16, 32],
        "d": {"uniform": [0, 1], "only": "width=32"},
    }
    settings = SearchSettings.parse(
        {"space": space, "sampler": "random", "trials": 20, "metric": "val/accuracy", "halving": {"max": 9}}
    )
    search = SimulatedSearch(settings, lambda params, epochs: 1 - params["optimizer.lr"] + epochs / 100)
    assert list(search_figures(settings, search.history)) == []
    search.run()
    found = {figure.title: figure for figure in search_figures(settings, search.history)}
    assert list(found) == [
        "Search for val accuracy: its trials",
        "What mattered for val accuracy",
        "Points of the search for val accuracy",
        "Rungs of the search for val accuracy",
    ]
    done = sum(trial.state == "done" for trial in search.history)
    history, _, points, rungs = found.values()
    assert [(entry.label, entry.value) for entry in history.legend[:2]] == [
        ("trained to the end", str(done)),
        ("not trained to the end (pale)", str(20 - done)),
    ]
    assert rungs.legend[0].value == str(done)
    assert all(text in points.svg for text in (">lr<", ">width<", ">0.0001<", ">32<"))
    # Colours follow the page, also into dark mode.
    assert all("#0a0b" not in figure.svg and "#0405" not in figure.svg for figure in found.values())


def test_several_metrics_have_a_figure_of_their_front() -> None:
    given = {
        "space": {"x": [1, 2, 3]},
        "trials": 3,
        "metric": ["accuracy", "time"],
        "direction": ["maximize", "minimize"],
    }
    trials = [
        Trial(number, {"x": number + 1}, "done", values={0: values}, told=number)
        for number, values in enumerate([(0.9, 3.0), (0.8, 2.0), (0.7, 4.0)])
    ]
    front, history = search_figures(SearchSettings.parse(given), trials)
    assert front.title == "Trade-off between accuracy and time"
    assert [(entry.label, entry.value) for entry in front.legend] == [("trials", "3"), ("on the front", "2")]
    assert history.legend[-1].value == "0.900"
