"""The key ``search`` of a study: which space is searched, by which sampler, and how long trials are trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from seedfold.jobs.conditions import Where, find_axis
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.predicates import predicate_terms
from seedfold.jobs.resources import parse_time
from seedfold.orchestrator.settings.search_space import Dimension, parse_space

Direction = Literal["maximize", "minimize"]
FailedPolicy = Literal["worst", "ignore", "retry"]
SAMPLERS = ("tpe", "random", "gp", "cmaes", "grid")
_KEYS = (
    *("space", "sampler", "trials", "metric", "direction", "over", "halving", "prune", "parallel", "seed"),
    *("failed", "first", "only", "warm_start", "budget", "stage", "axes_from"),
)


@dataclass(frozen=True, slots=True)
class Halving:
    """Successive halving: trials are trained for ``min`` epochs, the best one in ``eta`` of them ``eta`` times as long.

    ``resource`` is what is counted. With several ``brackets`` (Hyperband), some trials begin with a longer training.
    """

    min: int
    max: int
    eta: int = 3
    resource: str = "epochs"
    brackets: int = 1

    @property
    def most_brackets(self) -> int:
        """How many brackets there can be: the last one trains all of its trials to the end."""
        count, epochs = 1, self.min * self.eta
        while epochs <= self.max:
            count, epochs = count + 1, epochs * self.eta
        return count

    @classmethod
    def parse(cls, given: Any) -> Halving:
        """Read ``search.halving``. Raises UsageError."""
        place = "search.halving"
        _refuse_unknown(place, given, [field.name for field in fields(cls)], "{min: 1, max: 27, eta: 3}")
        if "max" not in given:
            raise UsageError(f"{place}.max: is missing; give the number of epochs of a whole training")
        numbers = {
            name: _whole(f"{place}.{name}", given.get(name, default), least)
            for name, default, least in (("min", 1, 1), ("max", None, 1), ("eta", 3, 2))
        }
        resource = given.get("resource", "epochs")
        if resource not in ("epochs", "steps"):
            raise UsageError(f"{place}.resource: {resource!r} is neither epochs nor steps")
        if numbers["min"] > numbers["max"]:
            raise UsageError(f"{place}.min: {numbers['min']} is larger than max, {numbers['max']}; give a smaller one")
        halving = cls(**numbers, resource=resource)
        brackets = given.get("brackets", 1)
        if brackets == "all":
            brackets = halving.most_brackets
        brackets = _whole(f"{place}.brackets", brackets, 1)
        if brackets > halving.most_brackets:
            raise UsageError(f"{place}.brackets: {brackets}: there are at most {halving.most_brackets}; write all")
        return replace(halving, brackets=brackets)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may use at most: ``job_s`` seconds of all its jobs together, ``wall_s`` seconds since its start."""

    job_s: float | None = None
    wall_s: float | None = None

    @classmethod
    def parse(cls, given: Any) -> Budget:
        """Read ``search.budget``. Raises UsageError."""
        place = "search.budget"
        _refuse_unknown(place, given, ("job_hours", "wall_time"), "{job_hours: 100, wall_time: 12h}")
        hours, wall = given.get("job_hours"), given.get("wall_time")
        if hours is not None and (isinstance(hours, bool) or not isinstance(hours, int | float) or not hours > 0):
            raise UsageError(f"{place}.job_hours: {hours!r} is not a number above 0")
        return cls(
            None if hours is None else 3600.0 * hours,
            None if wall is None else float(parse_time(wall, f"{place}.wall_time")),
        )


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """A search. ``space`` has the searched keys without ``+``.

    A trial is all points of the axes ``over``, and its values are the means over them; None stands for all axes of the
    matrix. ``metrics`` is empty for a program whose returned number counts. ``failed`` says what the sampler is told
    of a trial that failed: that it is the worst, nothing, or nothing after it has been tried once more. Without
    ``trials``, a grid is searched whole.

    In a study of several stages, ``stage`` has the metrics, and is the one that is trained in rungs; None is the last
    stage that has them. The searched keys are axes from the stage ``axes_from`` on; None for all that read them.
    """

    space: Mapping[str, Dimension]
    trials: int
    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]
    sampler: str | Mapping[str, Any] = "tpe"
    over: tuple[str, ...] | None = None
    halving: Halving | None = None
    prune: str | Mapping[str, Any] | None = None
    parallel: int = 4
    seed: int = 0
    failed: FailedPolicy = "worst"
    first: tuple[Mapping[str, Any], ...] = ()
    only: tuple[Where, ...] = ()
    warm_start: tuple[str, ...] = ()
    budget: Budget = Budget()
    stage: str | None = None
    axes_from: str | None = None

    @classmethod
    def parse(cls, settings: Any, needs_metric: bool = True) -> SearchSettings:
        """Read ``search`` of the configuration. ``needs_metric`` is False for programs that return a number.

        Raises UsageError, which names the key, for whatever cannot be read or does not fit together.
        """
        _refuse_unknown("search", settings, _KEYS, "{space: {KEY: VALUES}, trials: 50, metric: val/accuracy}")
        space = parse_space(settings.get("space"))
        metrics = _texts("search.metric", settings.get("metric"))
        if needs_metric and not metrics:
            raise UsageError("search.metric: is missing; name the metric to search by, such as val/accuracy")
        given = settings.get("halving"), settings.get("budget")
        found = cls(
            space=space,
            trials=0,
            metrics=metrics,
            directions=_directions(settings.get("direction"), len(metrics)),
            sampler=_sampler(settings.get("sampler", "tpe"), space),
            over=None if settings.get("over") is None else _texts("search.over", settings["over"]),
            halving=None if given[0] is None else Halving.parse(given[0]),
            prune=_prune(settings.get("prune")),
            parallel=_whole("search.parallel", settings.get("parallel", 4), 1),
            seed=_whole("search.seed", settings.get("seed", 0), 0),
            failed=_word("search.failed", settings.get("failed", "worst"), get_args(FailedPolicy)),
            first=_first(settings.get("first"), space),
            only=_only(settings.get("only"), space),
            warm_start=_texts("search.warm_start", settings.get("warm_start")),
            budget=Budget() if given[1] is None else Budget.parse(given[1]),
            stage=_stage_name("search.stage", settings.get("stage")),
            axes_from=_stage_name("search.axes_from", settings.get("axes_from")),
        )
        _refuse_what_does_not_fit(found)
        trials = settings.get("trials")
        if trials is None and found.sampler != "grid":
            raise UsageError("search.trials: is missing; say how many points of the space to try at most")
        return replace(found, trials=_grid_size(space) if trials is None else _whole("search.trials", trials, 1))

    def with_axes(self, axes: Iterable[str]) -> SearchSettings:
        """Return the settings for a matrix with these axes, with ``over`` filled in.

        Raises UsageError for an axis that the matrix does not have, for one that is searched as well, and for one that
        is neither searched nor averaged.
        """
        known = list(dict.fromkeys(axes))
        for axis in known:
            if axis in self.space:
                raise UsageError(f"search.space.{axis}: is an axis of the matrix as well; remove it from one of them")
        over = tuple(known) if self.over is None else tuple(_axis(name, known) for name in self.over)
        left = next((axis for axis in known if axis not in over), None)
        if left is not None:
            raise UsageError(
                f"search.over: the axis {left} is neither searched nor averaged; add it to over, or give it one value"
            )
        return replace(self, over=over)

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Whether ``only`` leaves this point in the space."""
        return not self.only or any(where.matches(params) for where in self.only)


def _refuse_unknown(place: str, given: Any, known: Sequence[str], example: str) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(f"{place}: {given!r} is not a mapping; write {place}: {example}")
    for key in given:
        if key not in known:
            raise UsageError(f"{place}.{key}: unknown key{did_you_mean(str(key), known)}; known: {', '.join(known)}")


def _whole(place: str, value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise UsageError(f"{place}: {value!r} is not a whole number of at least {least}")
    return value


def _word(place: str, value: Any, known: Sequence[Any]) -> Any:
    if value not in known:
        raise UsageError(
            f"{place}: {value!r}: no such word{did_you_mean(str(value), known)}; known: {', '.join(known)}"
        )
    return value


def _stage_name(place: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise UsageError(f"{place}: {value!r} is not the name of a stage")
    return value


def _texts(place: str, value: Any) -> tuple[str, ...]:
    """One text, or a list of them without repetitions."""
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) and text for text in texts):
        raise UsageError(f"{place}: {value!r} is neither a name nor a list of names")
    twice = next((text for number, text in enumerate(texts) if text in texts[:number]), None)
    if twice is not None:
        raise UsageError(f"{place}: {twice} is given twice; remove one of them")
    return tuple(texts)


def _directions(value: Any, metrics: int) -> tuple[Direction, ...]:
    words = ["maximize"] * max(metrics, 1) if value is None else [value] if isinstance(value, str) else value
    if not isinstance(words, Sequence):
        raise UsageError(f"search.direction: {value!r} is neither maximize nor minimize")
    found = tuple(_word("search.direction", word, get_args(Direction)) for word in words)
    if metrics and len(found) != metrics:
        raise UsageError(f"search.direction: has {len(found)} for {metrics} metrics; give one for each metric")
    return found


def _sampler(value: Any, space: Mapping[str, Dimension]) -> str | Mapping[str, Any]:
    if isinstance(value, Mapping):
        if not isinstance(value.get("_target_"), str):
            raise UsageError("search.sampler._target_: is missing; name a class, such as optuna.samplers.TPESampler")
        if "seed" in value:
            raise UsageError("search.sampler.seed: each trial has a seed of its own; give search.seed")
        return value
    word: str = _word("search.sampler", value, SAMPLERS)
    for dimension in space.values():
        if word == "grid" and not dimension.is_listed:
            raise UsageError(
                f"search.space.{dimension.key}: a grid needs a list of values, or a step; give one of them"
            )
    if word == "cmaes" and all(dimension.kind == "choice" for dimension in space.values()):
        raise UsageError("search.sampler: cmaes searches numbers, and the space has none; write sampler: tpe")
    return word


def _prune(value: Any) -> str | Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        if not isinstance(value.get("_target_"), str):
            raise UsageError("search.prune._target_: is missing; name a class, such as optuna.pruners.PercentilePruner")
        return value
    return None if value is None else str(_word("search.prune", value, ("median",)))


def _first(value: Any, space: Mapping[str, Dimension]) -> tuple[Mapping[str, Any], ...]:
    points = [] if value is None else value
    if isinstance(points, str | Mapping) or not isinstance(points, Sequence):
        raise UsageError("search.first: is not a list of points; write first: [{KEY: VALUE}]")
    found = []
    for number, point in enumerate(points):
        place = f"search.first[{number}]"
        if not isinstance(point, Mapping):
            raise UsageError(f"{place}: {point!r} is not a point; write {{KEY: VALUE}}")
        found.append({_searched(place, str(key), space): entry for key, entry in point.items()})
        for key, entry in found[-1].items():
            if not space[key].contains(entry):
                raise UsageError(f"{place}.{key}: {entry!r} is not in the space; give a value of search.space.{key}")
    return tuple(found)


def _searched(place: str, key: str, space: Mapping[str, Dimension]) -> str:
    try:
        found = find_axis(key.lstrip("+"), space)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    if found is None:
        raise UsageError(f"{place}: {key} is not searched{did_you_mean(key, space)}; searched: {', '.join(space)}")
    return found


def _only(value: Any, space: Mapping[str, Dimension]) -> tuple[Where, ...]:
    entries = [] if value is None else [value] if isinstance(value, str | Mapping) else value
    if not isinstance(entries, Sequence):
        raise UsageError(f"search.only: {value!r} is not a condition; write only: [{{KEY: VALUE}}]")
    found = tuple(predicate_terms("search.only", entry) for entry in entries)
    for where in found:
        for term in where.terms:
            _searched("search.only", term.key, space)
    return found


def _axis(name: str, axes: Sequence[str]) -> str:
    try:
        found = find_axis(name, axes)
    except UsageError as error:
        raise UsageError(f"search.over: {error}") from error
    if found is None:
        listed = ", ".join(axes) or "none"
        raise UsageError(f"search.over: {name}: no such axis{did_you_mean(name, axes)}; axes: {listed}")
    return found


def _refuse_what_does_not_fit(settings: SearchSettings) -> None:
    several = len(settings.directions) > 1
    for key, value in (("halving", settings.halving), ("prune", settings.prune)):
        if several and value is not None:
            raise UsageError(f"search.{key}: needs one metric to rank trials by, and there are several; remove one")
    if several and settings.sampler == "cmaes":
        raise UsageError("search.sampler: cmaes searches by one metric, and there are several; write sampler: tpe")
    if settings.halving is not None and settings.prune is not None:
        raise UsageError("search.prune: halving already stops trials; remove prune or halving")


def _grid_size(space: Mapping[str, Dimension]) -> int:
    from math import prod

    return prod(dimension.count for dimension in space.values())
