"""Canonical JSON: the same value always has the same text.

Keys are sorted, text is UTF-8, ``1`` and ``1.0`` differ, ``1e-3`` and ``0.001`` do not, ``-0.0`` is ``0.0``, and
numbers that are not finite are the strings ``nan``, ``inf`` and ``-inf``. Keys that are not strings are an error,
because JSON would silently turn them into strings. Job ids are digests of this text: changing it changes every id.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any

from seedfold.jobs.errors import UsageError

_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def to_plain(value: Any, key: str = "") -> Any:
    """Return ``value`` as plain JSON data with canonical numbers.

    Raises UsageError, which names ``key``, if it is not.
    """
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return value
    if kind is float:
        return to_plain_float(value)
    if isinstance(value, Mapping):
        return {
            require_text_key(name, key): to_plain(item, f"{key}.{name}" if key else name)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [to_plain(item, f"{key}[{index}]") for index, item in enumerate(value)]
    raise UsageError(
        f"{key or 'value'}: {kind.__name__} is not a JSON value;"
        " use numbers, strings, booleans, null, lists or mappings"
    )


def to_plain_float(value: float) -> float | str:
    """Return ``value`` with 0 for a negative zero, and as a string if it is not finite."""
    return value + 0.0 if math.isfinite(value) else str(value)


def require_text_key(name: object, key: str = "") -> str:
    """Return ``name`` if it is a string; if not, raises UsageError, which names the mapping ``key``."""
    if not isinstance(name, str):
        where = key or "mapping"
        raise UsageError(f"{where}: the key {name!r} is not a string; put it in quotes")
    return name


def canonical_json(value: Any) -> str:
    """Return the canonical text of a JSON value.

    Raises UsageError for keys that are not strings and for values that JSON does not have.
    """
    return _encode(to_plain(value))


def canonical_flat(values: Mapping[str, Any]) -> str:
    """Return the same as `canonical_json`, but faster if the same keys and single values occur often."""
    items_seen = values.values()
    try:
        texts = tuple(map(_scalar_json, items_seen, map(_type_of, items_seen)))
    except TypeError:
        return canonical_json(values)
    template, value_order = _object_template(tuple(values))
    return template % (tuple([texts[place] for place in value_order]) if value_order else texts)


_type_of: Callable[[Any], Hashable] = type


@lru_cache(maxsize=1 << 16)
def _scalar_json(value: Any, kind: Hashable) -> str:
    """Return the canonical text of a value that can be hashed; ``kind`` tells ``1`` and ``1.0`` and ``True`` apart."""
    return canonical_json(value)


@lru_cache(maxsize=1024)
def _object_template(names: tuple[str, ...]) -> tuple[str, tuple[int, ...]]:
    """Return an object with a ``%s`` for each value, and the order of values where it is not that of the names."""
    order = tuple(sorted(range(len(names)), key=names.__getitem__))
    entries = [_encode(require_text_key(names[place])).replace("%", "%%") + ":%s" for place in order]
    return "{" + ",".join(entries) + "}", () if order == tuple(range(len(names))) else order


def encode_plain(value: Any) -> str:
    """Return the canonical text of data that `to_plain` has returned."""
    return _encode(value)
