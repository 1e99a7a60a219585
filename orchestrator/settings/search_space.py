"""The dimensions of a search: what values a searched key may take.

A dimension is given in Hydra's grammar of sweeps (a list, ``choice(a,b)``, ``range(1,9)``, ``interval(0,1)``,
``int(interval(1,8))``, ``tag(log,interval(1e-5,1e-1))``) or as a distribution (``{log_uniform: [1e-5, 1e-1]}``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log, sqrt
from typing import Any, Literal

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.conditions import Where, find_axis
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.predicates import predicate_terms

Kind = Literal["float", "int", "choice"]

_DISTRIBUTIONS: Mapping[str, tuple[Kind, bool]] = {
    "uniform": ("float", False),
    "log_uniform": ("float", True),
    "int_uniform": ("int", False),
    "log_int_uniform": ("int", True),
    "choice": ("choice", False),
}
_OPTUNA_TYPES: Mapping[str, Kind] = {"float": "float", "int": "int", "categorical": "choice"}
_OPTUNA_KEYS = ("type", "low", "high", "log", "step", "choices", "only")
_EXAMPLE = "write e.g. [16, 32], 'range(1,9)', {uniform: [0, 1]} or {log_uniform: [1e-5, 1e-1]}"


@dataclass(frozen=True, slots=True)
class Dimension:
    """A searched key and its values: numbers from ``low`` to ``high``, both included, or one of ``choices``.

    ``step`` is the distance of two neighbouring values, None for any number. ``log`` draws the logarithm evenly.
    ``prefix`` is ``+`` where the key is added to the configuration. ``only`` are conditions on dimensions before this
    one: where they do not hold, a trial does not have the key.
    """

    key: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    prefix: str = ""
    only: Where | None = None

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial with these values of the dimensions before this one has this key."""
        return self.only is None or self.only.matches(params)

    def contains(self, value: Any) -> bool:
        """Whether a value is one of this dimension: for choices, one that is written in the same way."""
        if self.kind == "choice":
            return canonical_json(value) in map(canonical_json, self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else int | float):
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return bool(self.low <= value <= self.high and abs(steps - round(steps)) < 1e-8)

    @property
    def is_listed(self) -> bool:
        """Whether all values can be listed."""
        return self.kind == "choice" or self.step is not None

    @property
    def count(self) -> int:
        """How many values can be listed."""
        return len(self.choices) if self.kind == "choice" else round((self.high - self.low) / (self.step or 1)) + 1

    def grid(self) -> tuple[Any, ...] | None:
        """All values, in order; None if there are too many to list."""
        if self.kind == "choice":
            return self.choices
        return tuple(map(self.stepped, range(self.count))) if self.is_listed else None

    def place(self, value: Any) -> float | None:
        """Return where a value lies, from 0 (the lowest, or the first choice) to 1; None for one outside."""
        if not self.contains(value):
            return None
        if self.kind == "choice":
            number = [canonical_json(choice) for choice in self.choices].index(canonical_json(value))
            return number / max(len(self.choices) - 1, 1)
        return self._fraction(value)

    def _fraction(self, value: float) -> float:
        low, high, at = (log(one) if self.log else one for one in (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.0

    def ticks(self) -> dict[str, float]:
        """Return the places of the choices, or of the bounds and the middle between them, by their texts."""
        if self.kind == "choice":
            return {str(choice): number / max(len(self.choices) - 1, 1) for number, choice in enumerate(self.choices)}
        middle = sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        values = (self.low, round(middle) if self.kind == "int" else middle, self.high)
        return {f"{value:.3g}": self._fraction(value) for value in values}

    def stepped(self, number: int) -> float:
        """The value so many steps above ``low``, written as short as the step: 0.15, not 0.15000000000000002."""
        from decimal import Decimal

        exact = Decimal(str(self.low)) + number * Decimal(str(self.step))
        return int(exact) if self.kind == "int" else float(exact)


def parse_space(settings: Any) -> dict[str, Dimension]:
    """Read ``search.space``. Raises UsageError for an empty space and for a dimension that cannot be read."""
    if not isinstance(settings, Mapping) or not settings:
        raise UsageError("search.space: has no dimensions; write search.space: {KEY: VALUES} for each key to search")
    space: dict[str, Dimension] = {}
    for key, entry in _flattened(settings):
        dimension = _parse_dimension(str(key), entry)
        if dimension.key in space:
            raise UsageError(f"search.space.{key}: is given twice; remove one of them")
        _check_condition(dimension, space)
        space[dimension.key] = dimension
    return space


def _flattened(settings: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys with dots, also where an override on the command line has made nodes of them."""
    for name, entry in settings.items():
        key = f"{outer}{name}"
        is_node = isinstance(entry, Mapping) and entry and all(isinstance(one, Mapping) for one in entry.values())
        yield from _flattened(entry, f"{key}.") if is_node else [(key, entry)]


def _check_condition(dimension: Dimension, before: Mapping[str, Dimension]) -> None:
    place = f"search.space.{dimension.key}.only"
    for term in dimension.only.terms if dimension.only else ():
        try:
            found = find_axis(term.key, before)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
        if found is None:
            known = ", ".join(before) or "none"
            raise UsageError(
                f"{place}: {term.key}: no dimension before this one{did_you_mean(term.key, before)}; before it: {known}"
            )


def _parse_dimension(written: str, entry: Any) -> Dimension:
    key = written.lstrip("+")
    prefix, place = written[: len(written) - len(key)], f"search.space.{written}"
    if isinstance(entry, Mapping):
        dimension = _from_mapping(place, key, entry)
        if entry.get("only") is not None:
            dimension = replace(dimension, only=predicate_terms(f"{place}.only", entry["only"]))
    elif isinstance(entry, str):
        dimension = _from_sweep(place, key, entry)
    else:
        dimension = _from_choices(place, key, entry)
    return replace(dimension, prefix=prefix)


def _from_choices(place: str, key: str, entry: Any) -> Dimension:
    if isinstance(entry, str) or not isinstance(entry, Sequence):
        raise UsageError(f"{place}: {entry!r} is one value, which cannot be searched; {_EXAMPLE}")
    if not entry:
        raise UsageError(f"{place}: has no values; {_EXAMPLE}")
    texts = [canonical_json(value) for value in entry]
    twice = next((text for number, text in enumerate(texts) if text in texts[:number]), None)
    if twice is not None:
        raise UsageError(f"{place}: the value {twice} is given twice; remove one of them")
    return Dimension(key, "choice", choices=tuple(entry))


def _from_mapping(place: str, key: str, entry: Mapping[str, Any]) -> Dimension:
    if "type" in entry:
        return _from_optuna(place, key, entry)
    names = [name for name in entry if name in _DISTRIBUTIONS]
    for name in entry:
        if name not in (*_DISTRIBUTIONS, "step", "only"):
            near = did_you_mean(str(name), (*_DISTRIBUTIONS, "step", "only"))
            raise UsageError(f"{place}.{name}: no such distribution{near}; known: {', '.join(_DISTRIBUTIONS)}")
    if len(names) != 1:
        raise UsageError(f"{place}: needs one distribution and has {len(names)}; {_EXAMPLE}")
    (name,) = names
    kind, log = _DISTRIBUTIONS[name]
    if kind == "choice":
        return _from_choices(f"{place}.choice", key, entry["choice"])
    bounds = entry[name]
    if isinstance(bounds, str) or not isinstance(bounds, Sequence) or len(bounds) not in (2, 3):
        raise UsageError(f"{place}.{name}: {bounds!r} is not a pair; write {name}: [LOW, HIGH] or [LOW, HIGH, STEP]")
    step = bounds[2] if len(bounds) == 3 else entry.get("step")
    return _numbers(f"{place}.{name}", key, kind, bounds[0], bounds[1], step, log)


def _from_optuna(place: str, key: str, entry: Mapping[str, Any]) -> Dimension:
    """Read a distribution as hydra-optuna-sweeper writes it: ``{type: float, low: 0, high: 1, log: true}``."""
    for name in entry:
        if name not in _OPTUNA_KEYS:
            near = did_you_mean(str(name), _OPTUNA_KEYS)
            raise UsageError(f"{place}.{name}: unknown key{near}; known: {', '.join(_OPTUNA_KEYS)}")
    kind = _OPTUNA_TYPES.get(str(entry["type"]))
    if kind is None:
        near = did_you_mean(str(entry["type"]), _OPTUNA_TYPES)
        raise UsageError(f"{place}.type: {entry['type']}: no such type{near}; known: {', '.join(_OPTUNA_TYPES)}")
    if kind == "choice":
        return _from_choices(f"{place}.choices", key, entry.get("choices"))
    low, high, step = (entry.get(name) for name in ("low", "high", "step"))
    return _numbers(place, key, kind, low, high, step, bool(entry.get("log")))


def _from_sweep(place: str, key: str, text: str) -> Dimension:
    """Read a text in Hydra's grammar of sweeps."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep

    from seedfold.jobs.axis_values import override_values
    from seedfold.jobs.compose import one_line_errors

    try:
        with one_line_errors():
            override = OverridesParser.create().parse_override(f"{key}={text}")
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        kind: Kind = "int" if type(sweep.start) is int and type(sweep.end) is int else "float"
        return _numbers(place, key, kind, sweep.start, sweep.end, None, "log" in sweep.tags)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle and (sweep.step or 0) > 0:
        values = override_values(override)
        if not values:
            raise UsageError(f"{place}: {text} has no values; {_EXAMPLE}")
        kind = "int" if all(type(value) is int for value in values) else "float"
        return _numbers(place, key, kind, values[0], values[-1], sweep.step, "log" in sweep.tags)
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        return _from_choices(place, key, override_values(override))
    raise UsageError(f"{place}: {text!r} is one value, which cannot be searched; {_EXAMPLE}")


def _numbers(place: str, key: str, kind: Kind, low: Any, high: Any, step: Any, log: bool) -> Dimension:
    """Check a dimension of numbers. Its upper bound becomes the last number that is reached by steps."""
    for name, value in (("the lower bound", low), ("the upper bound", high), ("step", step)):
        if value is None and name == "step":
            continue
        allowed = int if kind == "int" else int | float
        if isinstance(value, bool) or not isinstance(value, allowed) or not isfinite(value):
            what = "a whole number" if kind == "int" else "a number"
            raise UsageError(f"{place}: {name} {value!r} is not {what}; {_EXAMPLE}")
    given = Dimension(key, kind, low, high, step, log)
    if given.low > given.high:
        raise UsageError(f"{place}: {given.low} is larger than {given.high}; write the lower bound first")
    if given.log and given.low <= 0:
        raise UsageError(f"{place}: a logarithm needs numbers above 0, and the lower bound is {given.low}")
    if given.step is None:
        return replace(given, step=1) if given.kind == "int" and not given.log else given
    if given.step <= 0:
        raise UsageError(f"{place}: step {given.step} is not above 0")
    if given.log:
        if given.kind == "int" and given.step == 1:
            return replace(given, step=None)
        raise UsageError(f"{place}: a logarithm has no steps; remove step")
    return replace(given, high=given.stepped(int((given.high - given.low) / given.step + 1e-9)))
