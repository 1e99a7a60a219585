"""A search as lines for people: its space, its trials and what they may use; and how many trials reached its rungs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedfold.jobs.errors import count_noun
from seedfold.jobs.times_text import about_text
from seedfold.orchestrator.search.analysis import rungs_table
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.rungs import rung_epochs
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.settings.search_space import Dimension

_MOST_CHOICES = 8


def space_lines(settings: SearchSettings) -> Iterator[str]:
    """Yield the lines; the first one says how many trials there are at most and how they are chosen."""
    sampler = settings.sampler if isinstance(settings.sampler, str) else str(settings.sampler["_target_"])
    yield f"search: at most {count_noun(settings.trials, 'trial')} by {sampler}, {settings.parallel} at a time"
    width = max(map(len, settings.space))
    for key, dimension in settings.space.items():
        yield f"  {key:<{width}}  {dimension_text(dimension)}"
    if settings.metrics:
        goals = zip(settings.directions, settings.metrics, strict=True)
        yield "  " + ", ".join(f"{direction} {metric}" for direction, metric in goals) + _over_text(settings)
    yield from (f"  {line}" for line in (_training_text(settings), _budget_text(settings)) if line)


def reached_text(settings: SearchSettings, history: Sequence[Trial]) -> str:
    """Return how many trials reached each rung, in one line; empty without halving."""
    reached: dict[int, int] = {}
    for row in rungs_table(settings, history):
        reached[row.epochs] = reached.get(row.epochs, 0) + row.reached
    if settings.halving is None or not any(reached.values()):
        return ""
    parts = [f"{count} of {epochs}" for epochs, count in sorted(reached.items()) if count]
    return f"trials that reached the end of a rung: {', '.join(parts)} {settings.halving.resource}"


def dimension_text(dimension: Dimension) -> str:
    """Return the values of a dimension in a few words."""
    if dimension.kind == "choice":
        shown = ", ".join(str(choice) for choice in dimension.choices[:_MOST_CHOICES])
        left = len(dimension.choices) - _MOST_CHOICES
        text = f"{shown} and {left} more" if left > 0 else shown
    else:
        step = dimension.step if dimension.step and (dimension.kind == "float" or dimension.step != 1) else None
        text = f"{dimension.low:g} to {dimension.high:g}"
        text += ", logarithmic" if dimension.log else ""
        text += ", whole numbers" if dimension.kind == "int" else ""
        text += f", in steps of {step:g}" if step else ""
    conditions = dimension.only.terms if dimension.only else ()
    only = " ".join(f"{one.key}{one.operator}{','.join(map(str, one.values))}" for one in conditions)
    return f"{text} (only with {only})" if only else text


def _over_text(settings: SearchSettings) -> str:
    return f", the mean over {' and '.join(settings.over)}" if settings.over else ""


def _training_text(settings: SearchSettings) -> str:
    halving = settings.halving
    if halving is None:
        return "bad trials are stopped early" if settings.prune is not None else ""
    ends = ", ".join(map(str, rung_epochs(halving)))
    begins = f", in {halving.brackets} brackets" if halving.brackets > 1 else ""
    return f"trained to {ends} {halving.resource}; the best 1 of {halving.eta} goes on{begins}"


def _budget_text(settings: SearchSettings) -> str:
    job_s, wall_s = settings.budget.job_s, settings.budget.wall_s
    parts = [f"{job_s / 3600:g} job hours"] if job_s is not None else []
    parts += [f"{about_text(wall_s).removeprefix('about ')} after its start"] if wall_s is not None else []
    return f"ends at the latest with {' or '.join(parts)}" if parts else ""
