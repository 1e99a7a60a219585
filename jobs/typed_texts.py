"""The texts of override values as somebody typed them, with their quotes: Hydra shows them in names and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hydra.core.override_parser.types import Override

from seedfold.jobs.axis_values import override_text
from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.shared_config import paths_to_texts

TypedTexts = Mapping[str, Mapping[str, str]]
"""By key and by the canonical text of the value, where the text is not the one that we would write."""


def find_typed_texts(overrides: Iterable[Override]) -> dict[str, dict[str, str]]:
    """Return the typed texts of overrides."""
    texts: dict[str, dict[str, str]] = {}
    for override in overrides:
        key = override.get_key_element().lstrip("+")
        for element in _elements(override):
            text, value = Override._get_value_element_as_str(element), Override._convert_value(element)
            plain = paths_to_texts(value)
            # JSON would make texts of keys that are none, in the value that jobs are told.
            if plain != value or override_text("", key, value) != f"{key}={text}":
                texts.setdefault(key, {})[canonical_json(plain)] = text
    return texts


def _elements(override: Override) -> Iterator[Any]:
    """The values as they were parsed, without numbers, whose texts are always ours."""
    if override.is_delete():
        return
    found = override.sweep_iterator() if override.is_discrete_sweep() else [override._value]
    yield from (element for element in found if not isinstance(element, int | float))


def typed_override(typed: TypedTexts, prefix: str, key: str, value: Any) -> str:
    """Return the override that sets ``key``, with the typed text of its value where there is one."""
    text = typed[key].get(canonical_json(value)) if key in typed else None
    return override_text(prefix, key, value) if text is None else f"{prefix}{key}={text}"
