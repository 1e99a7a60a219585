"""Axis values: YAML values, and strings in Hydra's own override and sweep grammar.

``1,2,3``, ``range(0,5)``, ``choice(a,b)`` and ``glob(*)`` are several values; anything else is one.
"""

from __future__ import annotations

import re
from math import ceil, isfinite
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString, RangeSweep, ValueType
from hydra.errors import HydraException

from seedfold.jobs.compose import MANY_POINTS, Composer, one_line_errors
from seedfold.jobs.errors import UsageError

_INT = re.compile(r"[+-]?(?:0|[1-9][0-9]{,99})")
_FLOAT = re.compile(r"[+-]?(?:0|[1-9][0-9]{,99})\.[0-9]+(?:[eE][+-]?[0-9]+)?")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Za-z_][\w./+-]*")
_SPECIAL_WORDS = frozenset({"null", "true", "false", "inf", "nan"})
_TYPES = {"": OverrideType.CHANGE, "+": OverrideType.ADD, "++": OverrideType.FORCE_ADD}


def override_values(override: Override, max_values: int | None = None) -> list[Any]:
    """Return the values that an override names: all of a sweep, or the one.

    Raises UsageError for a sweep whose values cannot be listed, such as ``interval(0,1)``, and for a range of more than
    ``max_values`` numbers.
    """
    if not override.is_sweep_override():
        return [override.value()]
    if not override.is_discrete_sweep():
        raise UsageError(f"{override.input_line}: its values cannot be listed; use choice() or range()")
    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        refuse_many(str(override.input_line), _count_numbers(sweep), max_values)
    try:
        with one_line_errors():
            return [Override._convert_value(value) for value in override.sweep_iterator()]
    except UsageError as error:
        raise UsageError(f"{override.input_line}: {error}") from error


def _count_numbers(sweep: RangeSweep) -> int:
    """How many numbers a range has. Zero for one that the sweep itself refuses."""
    if sweep.start is None or sweep.stop is None or not sweep.step:
        return 0
    numbers = (sweep.stop - sweep.start) / sweep.step
    return ceil(numbers) if isfinite(numbers) else MANY_POINTS * MANY_POINTS


def refuse_many(place: str, count: int, max_count: int | None) -> None:
    """Raise UsageError if there would be too many points."""
    if max_count is not None and count > max_count:
        raise UsageError(f"{place}: these are {count:,} points; give fewer (the option --yes accepts so many)")


def axis_values(composer: Composer, origin: str, key: str, entry: Any) -> list[Any]:
    """Return the values of the axis ``key`` from what a study gives: a list, a scalar or a sweep.

    Raises UsageError for a mapping, a string that Hydra's grammar does not know, and an axis without values.
    """
    if isinstance(entry, dict):
        raise UsageError(
            f"{origin}.{key}: an axis cannot be a mapping; write a key with dots ({key}.NAME: values) or a list"
        )
    values = entry if isinstance(entry, list) else _parse_values(composer, origin, key, entry)
    if not values:
        raise UsageError(f"{origin}.{key}: the axis has no values; give it some or remove it")
    return values


def _parse_values(composer: Composer, origin: str, key: str, entry: Any) -> list[Any]:
    if not isinstance(entry, str):
        return [entry]
    simple = parse_simple_value(entry)
    if simple is not None:
        return simple
    try:
        return override_values(composer.parse_overrides([f"{key}={entry}"])[0], composer.max_points)
    except UsageError as error:
        raise UsageError(f"{origin}.{error}") from error


def parse_cell(composer: Composer, place: str, text: str) -> Any:
    """Return one value from a table's cell, read with Hydra's grammar.

    Raises UsageError, which names ``place``, for a string that is not a single value.
    """
    simple = parse_simple_value(text)
    values = simple if simple is not None else _parse_values(composer, place, "cell", text)
    if len(values) != 1:
        raise UsageError(f"{place}: {text!r} is more than one value; quote it ('{text}') if it is one string")
    return values[0]


def parse_simple_value(text: str) -> list[Any] | None:
    """Return the one value of an ordinary number or word, or None where Hydra's parser has to decide.

    It gives what the parser gives, a thousand times faster: tables have many cells.
    """
    if _INT.fullmatch(text):
        return [int(text)]
    if _FLOAT.fullmatch(text):
        return [float(text)]
    return [text] if _IDENTIFIER.fullmatch(text) and text.lower() not in _SPECIAL_WORDS else None


def value_override(prefix: str, key: str, value: Any) -> Override:
    """Return Hydra's override ``{prefix}{key}={value}`` for a value that needs no parsing."""
    line = f"{prefix}{key}={value}"
    return Override(_TYPES[prefix], key, ValueType.ELEMENT, value, input_line=line)


def group_override(prefix: str, group: str, option: Any) -> str:
    """Return the override that chooses ``option`` of a config group, as text in Hydra's grammar."""
    return f"{prefix}{group}={Override._get_value_element_as_str(_quote_texts(option))}"


def _quote_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_quote_texts(item) for item in value]
    if isinstance(value, dict):
        return {key: _quote_texts(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    # Hydra leaves escapes in interpolations as they are, where OmegaConf would take an escaped quote for an error.
    double = "${" in value and "'" in value and '"' not in value
    return QuotedString(text=value, quote=Quote.double if double else Quote.single)


def override_text(prefix: str, key: str, value: Any) -> str:
    """Return the override that sets ``key`` as people type it: with quotes only where Hydra's grammar asks for them."""
    if isinstance(value, str) and _WORD.fullmatch(value) and value.lower() not in _SPECIAL_WORDS:
        return f"{prefix}{key}={value}"
    unquoted = f"{prefix}{key}={Override._get_value_element_as_str(value)}"
    return unquoted if _is_read_as(unquoted, value) else group_override(prefix, key, value)


def _is_read_as(override: str, value: Any) -> bool:
    """Whether Hydra's grammar reads this one value, of the same types, in an override."""
    if not isinstance(value, (str, list, dict)):
        return False
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return not parsed.is_sweep_override() and repr(parsed.value()) == repr(value)
