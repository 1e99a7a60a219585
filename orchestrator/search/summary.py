"""What people and scripts want to know of a search at one look: its trials by state, and the best one so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.search.history import Trial, TrialState
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.settings.search import SearchSettings

_STATES: tuple[TrialState, ...] = ("running", "done", "paused", "pruned", "failed")


def best_trials(settings: SearchSettings, history: Sequence[Trial]) -> list[Trial]:
    """The trials from the best to the worst by the first metric: those that have been trained longest come first."""
    known = [trial for trial in history if trial.number >= 0 and trial.value and not trial.is_broken]
    sign = -1 if settings.directions[0] == "maximize" else 1
    return sorted(known, key=lambda trial: (-trial.epochs, sign * (trial.value or (0.0,))[0], trial.number))


def search_to_json(search: StudySearch) -> dict[str, Any]:
    """The key ``search`` of ``status --json``; ``best`` is None before the first result."""
    history = search.history()
    counts = Counter(trial.state for trial in history if trial.number >= 0)
    best = next(iter(best_trials(search.settings, history)), None)
    return {
        "trials": sum(counts.values()),
        **{str(state): counts[state] for state in _STATES[1:]},
        "best": None if best is None else _best_to_json(best),
    }


def _best_to_json(trial: Trial) -> dict[str, Any]:
    values = list(trial.value or ())
    return {"trial": trial.number, "value": values[0] if len(values) == 1 else values, "params": dict(trial.params)}


def search_lines(search: StudySearch) -> list[str]:
    """The same for people, with what keeps the search from going on."""
    settings, history = search.settings, search.history()
    asked = [trial for trial in history if trial.number >= 0]
    counts = Counter(trial.state for trial in asked)
    states = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    lines = [f"search: {len(asked)} of {count_noun(settings.trials, 'trial')}{states and f' ({states})'}"]
    best = next(iter(best_trials(settings, history)), None)
    if best is not None:
        values = " ".join(f"{value:.6g}" for value in best.value or ())
        params = " ".join(f"{key}={_short(value)}" for key, value in best.params.items())
        after = f" after {count_noun(best.epochs, 'epoch')}" if best.epochs and best.state != "done" else ""
        lines.append(f"  best: trial {best.number}, {values}{after}: {params}")
    return lines


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
