"""What people want to know of a search at one look: its trials by state, and the best one so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.search_launch import has_launch
from seedfold.orchestrator.search.analysis import asked_trials, best_trial
from seedfold.orchestrator.search.history import Trial, TrialState
from seedfold.orchestrator.search.plan_lines import reached_text
from seedfold.orchestrator.search.study_search import StudySearch

_MOST_REASONS = 3
_STATES: tuple[TrialState, ...] = ("running", "done", "paused", "pruned", "failed")


def search_lines(search: StudySearch) -> list[str]:
    """How many trials there are, of how many, and the values and the parameters of the best one."""
    settings, history = search.settings, search.history()
    asked = asked_trials(history)
    counts = Counter(trial.state for trial in asked)
    states = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    lines = [f"search: {len(asked)} of {count_noun(settings.trials, 'trial')}{states and f' ({states})'}"]
    best = best_trial(settings, history)
    if best is not None:
        names = settings.metrics or ("value",)
        values = ", ".join(f"{name} {value:.6g}" for name, value in zip(names, best.value or (), strict=False))
        params = " ".join(f"{key}={_short(value)}" for key, value in best.params.items())
        after = f" after {count_noun(best.epochs, 'epoch')}" if best.epochs and best.state != "done" else ""
        lines.append(f"  best: trial {best.number}, {values}{after}: {params}")
    lines += [f"  {line}" for line in (reached_text(settings, history),) if line]
    lines += [f"  {reason}" for reason in search.failure_reasons()[:_MOST_REASONS]]
    lines += [f"  {line}" for line in (_way_on(search, asked),) if line]
    return lines


def _way_on(search: StudySearch, asked: Sequence[Trial]) -> str:
    """How a search goes on that nobody works on; empty if it has ended, or if somebody does."""
    study = search.ledger.study
    may_go_on = any(trial.state in ("running", "paused") for trial in asked) or len(asked) < search.settings.trials
    if search.ledger.live_submissions or not may_go_on or is_copy(study) or search.is_budget_used():
        return ""
    command = f"seedfold resume {study.name}" if has_launch(study) else "the same command again"
    return f"{'it was cancelled' if search.is_cancelled else 'nothing works on it'}; to go on: {command}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
