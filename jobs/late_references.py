"""Replaces late references, ``${result:STAGE,KEY}``, by values of earlier stages when a job starts.

Every worker and every job imports this module, but few have a late reference. So OmegaConf is imported only for these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.late_resolver import LATE_RESOLVER, register_late_references

StageValueLookup = Callable[[str, str], Any]
"""The value of a stage by its dotted key."""


def has_late_reference(value: Any) -> bool:
    """Whether a value holds a late reference at any depth."""
    if isinstance(value, dict):
        return any(has_late_reference(item) for item in value.values())
    if isinstance(value, list):
        return any(has_late_reference(item) for item in value)
    return isinstance(value, str) and f"${{{LATE_RESOLVER}:" in value


def resolve_late_references(
    config: Mapping[str, Any], lookup: StageValueLookup
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Replace every late reference; return the configuration, and the values that were put in, by dotted key.

    Raises what ``lookup`` raises, and UsageError for a reference that is not ``${result:STAGE,KEY}``.
    """
    resolved: dict[str, Any] = {}

    def fill(value: Any, at: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            return {key: fill(item, (*at, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item, (*at, str(place))) for place, item in enumerate(value)]
        if not has_late_reference(value):
            return value
        resolved[".".join(at)] = _resolve_text(value, ".".join(at), lookup)
        return resolved[".".join(at)]

    return fill(config, ()), resolved


def _resolve_text(text: str, key: str, lookup: StageValueLookup) -> Any:
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    raised: list[Exception] = []

    def look_up(*arguments: Any) -> Any:
        try:
            if len(arguments) != 2:
                raise UsageError(f"{key}: {text}: write a reference to a result as ${{result:STAGE,KEY}}")
            return lookup(str(arguments[0]), str(arguments[1]))
        except Exception as error:
            # OmegaConf would say that a resolver failed, but not why.
            raised.append(error)
            raise

    OmegaConf.register_new_resolver(LATE_RESOLVER, look_up, replace=True)
    try:
        value = OmegaConf.create({"value": text})["value"]
    except InterpolationResolutionError:
        raise raised[0] from None
    finally:
        register_late_references()
    return OmegaConf.to_container(value) if isinstance(value, DictConfig | ListConfig) else value
